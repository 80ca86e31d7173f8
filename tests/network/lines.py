"""A line to the service with delay and loss, as clients far away have it: a TCP proxy of its own thread."""

import asyncio
import random
import threading
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self

from tools.stack.ports import free_port

RESENT_SECONDS = 0.2  # after which a sender sends a lost segment again, at the least


class _End(asyncio.Protocol):
    """One end of a connection: what it receives comes out of the other one later."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self.other: _End | None = None
        self._under_way: deque[bytes | None] = deque()  # None: the end
        self._arrives_at = 0.0
        self.transport: asyncio.Transport | None = None
        self.connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._line.ends.add(self)

    def data_received(self, data: bytes) -> None:
        self._send(data)

    def eof_received(self) -> bool:
        self._send(None)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._line.ends.discard(self)
        if error is not None and self.other is not None and self.other.transport is not None:
            self.other.transport.abort()

    def _send(self, data: bytes | None) -> None:
        loop = asyncio.get_running_loop()
        self._under_way.append(data)
        self._arrives_at = max(self._arrives_at, loop.time() + self._line.seconds())  # never past what is in front
        loop.call_at(self._arrives_at, self._arrive)

    def _arrive(self) -> None:
        data = self._under_way.popleft()
        if self.other is None or self.other.transport is None:
            return
        if data is not None:
            self.other.transport.write(data)
        elif self.other.transport.can_write_eof() and not self.other.transport.is_closing():
            self.other.transport.write_eof()
            if self._is_over() and self.other._is_over():
                self.other.transport.close()

    def _is_over(self) -> bool:
        return not self._under_way


class Line:
    """Passes connections on to `target`; `round_trip` in seconds, `loss` the share of what is sent that gets lost.

    What is lost arrives when it has been sent again, and holds up what comes behind it. Use as a context manager.
    """

    def __init__(self, target: int, round_trip: float, loss: float = 0.0) -> None:
        self.port = free_port()
        self.ends: set[_End] = set()
        self._target = target
        self._one_way = round_trip / 2
        self._loss = loss
        self._random = random.Random(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._ready = threading.Event()

    def seconds(self) -> float:
        """Return how long the next piece is under way."""
        lost = self._random.random() < self._loss
        return self._one_way + (RESENT_SECONDS + self._one_way if lost else 0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await self._loop.create_server(self._accept, "127.0.0.1", self.port, backlog=256)
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for end in list(self.ends):
            if end.transport is not None:
                end.transport.abort()
        await asyncio.sleep(0)

    def _accept(self) -> _End:
        near, far = _End(self), _End(self)
        near.other, far.other = far, near
        near.connecting = self._loop.create_task(self._connect(near, far))
        return near

    async def _connect(self, near: _End, far: _End) -> None:
        with suppress(OSError):
            await self._loop.create_connection(lambda: far, "127.0.0.1", self._target)
            return
        if near.transport is not None:
            near.transport.abort()
