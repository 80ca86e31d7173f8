"""The HTTP server of one worker: its listeners, its connections, and the tasks that answer their requests."""

import asyncio
import errno
import logging
import math
import resource
import socket
import time
from collections.abc import Iterable

from app.server.bridge import Bridge
from app.server.connection import RECEIVED_AT_ONCE, Connection
from app.server.incoming import Incoming, Malformed
from app.server.unfinished import Unfinished
from app.utils.admission import LOOK_SECONDS as LINE_SECONDS
from app.utils.logging import Repeats
from app.utils.metrics import CONNECTIONS, IN_WORK, LOOP_LATE, UNFINISHED_BYTES, sample, take_samples
from app.utils.tasks import Task

log = logging.getLogger(__name__)

_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

LOOK_SECONDS = 0.25
SPARE_DESCRIPTORS = 128  # left to the database, Kafka and files
BACKLOG = 2048
ACCEPTED_AT_ONCE = 64
MAX_CONNECTIONS = 10_000
EVICTABLE_SECONDS = 1.0  # a connection that has sent nothing for so long may be closed for a new one
EVICTED_AT_ONCE = 16  # connections that are closed where no descriptor is free
SHORTAGE_LINE_SECONDS = 10.0
NEWCOMER_SECONDS = 1.0  # for the first request of a connection that was accepted just before the stop


class LoopServer:
    """Serves the bridge's answers on the sockets. Runs on the loop's thread alone."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bridge: Bridge,
        keep_alive_seconds: float,
        unfinished: Unfinished | None = None,
    ) -> None:
        self.keep_alive_seconds = keep_alive_seconds
        self.is_draining = self.is_shedding = False
        self._loop = loop
        self._in_work = 0
        self._bridge = bridge
        self._connections: dict[Connection, None] = {}  # oldest first
        self._unfinished = unfinished or Unfinished()
        self._sockets: list[socket.socket] = []
        self._accepting: set[asyncio.Task[object]] = set()
        descriptors = _descriptors()
        self._max_connections = min(max(descriptors - SPARE_DESCRIPTORS, descriptors // 2), MAX_CONNECTIONS)
        self._evictable: list[Connection] = []  # the last one is closed first
        self._sorted_at = 0.0
        self._repeats = Repeats(SHORTAGE_LINE_SECONDS)
        self.buffer = memoryview(bytearray(RECEIVED_AT_ONCE))

    @property
    def is_empty(self) -> bool:
        """Whether no connection is left."""
        return not self._connections

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        """Listen on the sockets, and look after connections from now on."""
        self._sockets = list(sockets)
        for listener in self._sockets:
            listener.setblocking(False)
            listener.listen(BACKLOG)
            self._loop.add_reader(listener, self._accept, listener)
        sample(CONNECTIONS, lambda: len(self._connections))
        sample(IN_WORK, lambda: self._in_work)
        sample(UNFINISHED_BYTES, lambda: self._unfinished.held)
        self._look(self._loop.time())
        self._look_at_line(self._loop.time())

    async def drain(self) -> None:
        """Accept what the kernel has accepted already, then nothing more. From now on an answer ends its connection."""
        self.is_draining, self.is_shedding = True, False
        for listener in self._sockets:
            self._loop.remove_reader(listener)
            while self._accept(listener):
                await self._all_opened()
            listener.close()
        await self._all_opened()

    async def _all_opened(self) -> None:
        await asyncio.gather(*self._accepting, return_exceptions=True)  # a client may have gone

    def _accept(self, listener: socket.socket) -> bool:
        """Accept until ACCEPTED_AT_ONCE connections are on their way to `opened`; return whether more may wait.

        asyncio's own server accepts one connection per round of the loop: among hundreds of busy clients a new client
        would wait for seconds. A connection counts against the limit only when it is opened, some rounds of the loop
        later. Without a bound on those between, a backlog would take every descriptor.
        """
        for _ in range(ACCEPTED_AT_ONCE - len(self._accepting)):
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                return self._handle_accept_error(listener, error)
            task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: Connection(self), accepted))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)
        return True

    def _handle_accept_error(self, listener: socket.socket, error: OSError) -> bool:
        """Return whether more connections may wait. Short of descriptors or memory, close idle ones and pause."""
        if error.errno not in _SHORTAGES:
            return not self.is_draining
        if self._repeats.admit("shortage") is not None:
            log.warning("no connection can be accepted: %s", error.strerror)
        for _ in range(EVICTED_AT_ONCE):
            idlest = self._idlest()
            if idlest is None:
                break
            idlest.transport.abort()
        if not self.is_draining:
            self._loop.remove_reader(listener)
            self._loop.call_later(LOOK_SECONDS, self._accept_again, listener)
        return False

    def _accept_again(self, listener: socket.socket) -> None:
        if not self.is_draining:
            self._loop.add_reader(listener, self._accept, listener)

    async def cut_off(self) -> None:
        """Reset the connections that are left: a plain end would look like the end of an answer."""
        for connection in list(self._connections):
            connection.reset()
        await asyncio.sleep(0)  # lets the loop close them

    # What connections call.

    def opened(self, connection: Connection) -> None:
        """Add the connection; beyond the limit close the one that has been idle for longest."""
        if len(self._connections) >= self._max_connections:
            (self._idlest() or connection).transport.abort()
        self._connections[connection] = None

    def closed(self, connection: Connection) -> None:
        """Forget the connection."""
        self._connections.pop(connection, None)

    def waits_for_body(self, request: Incoming) -> bool:
        """Ask the bridge."""
        return not self.sheds(request) and self._bridge.waits_for_body(request)

    def sheds(self, request: Incoming) -> bool:
        """Tell whether to turn the request away, because the service is overloaded; once said, that stands."""
        return self._bridge.sheds(request, self._in_work)

    def admits(self, request: Incoming) -> bool:
        """Tell by the head of a request whether its caller may ask for this, and the service has time for it."""
        return not self.sheds(request) and self._bridge.admits(request)

    def shed_at_once(self, data: bytes) -> bytes | None:
        """Ask the bridge."""
        return self._bridge.quick.answer(data)

    def begin(self, request: Incoming, connection: Connection) -> None:
        """Answer the request in a task of its own, or turn it away at once."""

        def may_keep() -> bool:
            return not request.is_last and not self.is_draining

        if self.sheds(request):
            keeps = may_keep()
            connection.send(self._bridge.shed(request, keeps=keeps))
            connection.end_answer(keep=keeps)
            return

        def run() -> None:
            keep = False
            self._in_work += 1
            try:
                keep = self._bridge.answer(request, connection, may_keep)
            finally:
                self._in_work -= 1
                connection.end_answer(keep=keep)

        Task(self._loop, run).switch()

    def hold(self, connection: Connection, size: int) -> None:
        """Count the memory of unfinished requests; beyond its bound the oldest one is closed."""
        self._unfinished.hold(connection, size)

    def refuse(self, refusal: Malformed, connection: Connection) -> bytes:
        """Ask the bridge."""
        return self._bridge.refuse(refusal, connection)

    def _idlest(self) -> Connection | None:
        """Return a connection that may be closed for another one, None where each is new or being answered.

        Sorts all connections at most once in LOOK_SECONDS, so a flood of new connections does not cost a sort each.
        """
        now = time.monotonic()
        if not self._evictable and now - self._sorted_at > LOOK_SECONDS:
            self._sorted_at = now
            found = [connection for connection in self._connections if _is_evictable(connection, now)]
            self._evictable = sorted(found, key=lambda one: (not one.is_idle, _quiet_since(one)), reverse=True)
        while self._evictable:
            idlest = self._evictable.pop()
            if idlest in self._connections and _is_evictable(idlest, now):
                return idlest
        return None

    def _look_at_line(self, due: float) -> None:
        now = self._loop.time()
        self.is_shedding = self._bridge.look(now, max(now - due, 0.0)) and not self.is_draining
        due = now + LINE_SECONDS
        self._loop.call_at(due, self._look_at_line, due)

    def _look(self, due: float) -> None:
        LOOP_LATE.observe(self._loop.time() - due)
        now = time.monotonic()
        for connection in list(self._connections):
            connection.look(now)
            if self.is_draining and connection.is_idle:
                patience = LOOK_SECONDS if connection.has_asked else NEWCOMER_SECONDS
                if now - connection.arrived_at > patience:
                    connection.close()
        take_samples()
        due = self._loop.time() + LOOK_SECONDS
        self._loop.call_at(due, self._look, due)


def _is_evictable(connection: Connection, now: float) -> bool:
    return now - _quiet_since(connection) > EVICTABLE_SECONDS


def _quiet_since(connection: Connection) -> float:
    """Return since when the connection has been idle, or its unfinished request has been under way; busy: infinity."""
    if connection.is_busy:
        return math.inf
    return connection.arrived_at if connection.is_idle else connection.began_at


def _descriptors() -> int:
    """Raise the limit of descriptors as far as the system permits, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
