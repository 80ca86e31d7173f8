"""One HTTP connection on the loop: requests are answered one after the other, no client is waited for without end."""

import asyncio
import socket
import struct
import time
from collections import deque
from typing import Protocol, cast

from app.server.reader import Incoming, Malformed, RequestReader
from app.utils.tasks import Gate

HEAD_SECONDS = 10.0  # from the first byte of a request to the end of its head
PIECE_SECONDS = 2.0  # between two pieces of a body
BODY_SECONDS = 15.0  # from the first byte of a request to its last
SEND_SECONDS = 5.0  # in which a client takes nothing of its answer
CLOSE_SECONDS = 2.0  # for a client to hang up after the last answer
DRAIN_BYTES = 8 * 1024 * 1024  # that are read and dropped meanwhile
SEND_BUFFER = 64 * 1024
MOST_PIPELINED = 16

AT_ONCE = struct.pack("ii", 1, 0)  # linger for no time: what is unsent is dropped, and the client hears of it
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Door(Protocol):
    """What a connection needs of the server it belongs to."""

    keep_alive_seconds: float
    is_draining: bool

    def opened(self, connection: "Connection") -> None:
        """Take the connection into the list of those that are looked after."""

    def closed(self, connection: "Connection") -> None:
        """Forget the connection."""

    def waits_for_body(self, request: Incoming) -> bool:
        """Tell by its head whether the body of a request will be looked at."""

    def begin(self, request: Incoming, connection: "Connection") -> None:
        """Begin to answer a request; `connection.send` and `connection.end_answer` follow. Does not block."""

    def refuse(self, refusal: Malformed) -> bytes:
        """Return the whole answer to what is no request."""


class Connection(asyncio.Protocol):
    """Reads requests, writes answers. `look` is called from time to time; everything on the loop's thread."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._reader = RequestReader(door.waits_for_body)
        self._waiting: deque[Incoming] = deque()
        self._is_answering = False
        self._refused: Malformed | None = None
        self._takes_requests = True
        self._drained = 0
        self._room: Gate | None = None
        self._has_room = True
        self._sent = self._taken = 0  # bytes: written to the transport, gone on to the client
        self._taken_at = self.arrived_at = self._began_at = time.monotonic()
        self._closes_at: float | None = None
        self.transport: asyncio.Transport

    @property
    def is_idle(self) -> bool:
        """Whether nothing has been asked for that is not answered."""
        return not self._is_answering and not self._waiting and self._reader.is_idle and self._closes_at is None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=SEND_BUFFER)
        self._door.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        """End. What is being done for the client goes on; nobody hears of it."""
        self._takes_requests = False
        self._waiting.clear()
        self._door.closed(self)
        self._make_room()

    def eof_received(self) -> bool:
        """Answer what was asked for, then close; half a request is none."""
        self._takes_requests = False
        return self._is_answering or bool(self._waiting)

    def pause_writing(self) -> None:
        """Begin no further answer: the client takes this one slowly."""
        self._has_room = False

    def resume_writing(self) -> None:
        """Let the answer go on, or the next one begin."""
        self._has_room = True
        self._make_room()
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Read the requests in it; nothing more after one that closes the connection."""
        if not self._takes_requests:
            self._drained += len(data)
            if self._drained > DRAIN_BYTES:
                self.transport.abort()
            return
        now = time.monotonic()
        if self._reader.is_idle:
            self._began_at = now
        self.arrived_at = now
        try:
            requests = self._reader.feed(data)
        except Malformed as refusal:
            self._refused, self._takes_requests = refusal, False
            self._go_on()
            return
        if requests:
            self._waiting.extend(requests)
            self._takes_requests = not requests[-1].is_last
            if len(self._waiting) > MOST_PIPELINED:
                self.transport.pause_reading()
            self._go_on()
        if not self._is_answering and self._reader.take_continue():
            self.transport.write(CONTINUE)

    # What the answer calls.

    def send(self, piece: bytes) -> None:
        """Write a piece of the answer; nothing happens where the client has gone."""
        if not self.transport.is_closing():
            if not self.transport.get_write_buffer_size():
                self._taken_at = time.monotonic()
            self._sent += len(piece)
            self.transport.write(piece)

    def wait_for_room(self) -> bool:
        """In a task: wait until the client has taken most of what was sent; false where it has gone."""
        if not self._has_room and not self.transport.is_closing():
            self._room = Gate()
            self._room.wait(86_400.0)  # `look` ends it sooner
            self._room = None
        return not self.transport.is_closing()

    def reset(self) -> None:
        """End in the middle of an answer, with a reset: a plain end would tell HTTP/1.0 that this was all of it."""
        if not self.transport.is_closing():
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            self.transport.abort()

    def end_answer(self, *, keep: bool) -> None:
        """Go on with the next request, or close where the answer said so."""
        self._is_answering = False
        self._began_at = self.arrived_at = time.monotonic()
        if not keep:
            self._waiting.clear()
            self._takes_requests = False
        self._go_on()

    # What the server calls.

    def look(self, now: float) -> None:
        """Close the connection where its client takes too long."""
        if self.transport.get_write_buffer_size():
            if self._takes_too_little(now):
                self.reset()
        elif self._closes_at is not None:
            self._closes_at = self._closes_at or now + CLOSE_SECONDS
            if now > self._closes_at:
                self.transport.abort()
        elif self._is_answering or self._waiting:
            return
        elif self._reader.is_idle:
            if now - self.arrived_at > self._door.keep_alive_seconds:
                self.close()
        elif self._is_late(now):
            self._refused, self._takes_requests = Malformed("The request did not arrive in time"), False
            self._go_on()

    def close(self) -> None:
        """Say that nothing more comes, and wait a moment for the client to hang up: its bytes must not meet a reset."""
        self._takes_requests = False
        if self._closes_at is None and not self.transport.is_closing():
            self._closes_at = 0.0  # counted from when the client has the answer
            self.transport.resume_reading()
            self.transport.write_eof()

    def _go_on(self) -> None:
        if self._is_answering or not self._has_room or self.transport.is_closing():
            return
        if self._waiting:
            self._is_answering = True
            if len(self._waiting) == MOST_PIPELINED:
                self.transport.resume_reading()
            self._door.begin(self._waiting.popleft(), self)
        elif self._refused is not None:
            self.send(self._door.refuse(self._refused))
            self.close()
        elif not self._takes_requests:
            self.close()
        elif self._reader.take_continue():
            self.transport.write(CONTINUE)

    def _is_late(self, now: float) -> bool:
        if self._reader.in_body:
            return now - self.arrived_at > PIECE_SECONDS or now - self._began_at > BODY_SECONDS
        return now - self._began_at > HEAD_SECONDS

    def _takes_too_little(self, now: float) -> bool:
        taken = self._sent - self.transport.get_write_buffer_size()
        if taken > self._taken:
            self._taken, self._taken_at = taken, now
        return now - self._taken_at > SEND_SECONDS

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.open()
