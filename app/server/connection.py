"""One HTTP connection on the loop. It answers requests one after the other; every wait for its client has a limit."""

import asyncio
import socket
import struct
import time
from collections import deque
from typing import cast

from app.server.connection_owner import ConnectionOwner
from app.server.incoming import Incoming, Malformed
from app.server.reader import RequestReader
from app.server.sockets import bound_unsent, unsent
from app.utils.tasks import Gate

HEAD_SECONDS = 10.0  # from the first byte of a request to the end of its head
PIECE_SECONDS = 2.0  # between two pieces of a body
BODY_SECONDS = 15.0  # from the first byte of a request to its last
SEND_SECONDS = 5.0  # in which a client takes less than LEAST_TAKEN of its answer
CLOSE_SECONDS = 2.0  # between the last bytes that a client sends and its end of the connection
LINGER_SECONDS = 15.0  # for a client that goes on sending after it was refused
DRAIN_BYTES = 64 * 1024 * 1024  # read and dropped meanwhile
SEND_BUFFER = 32 * 1024
LEAST_TAKEN = 16 * 1024
RECEIVED_AT_ONCE = 16 * 1024
PARSED_AT_ONCE = 1024  # forty requests at most: what follows a request stays bytes until that request is answered
RESET_LINGER = struct.pack("ii", 1, 0)  # linger for 0 s: the kernel drops what is unsent and resets the connection
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.BufferedProtocol):
    """Reads requests and writes answers. Runs on the loop's thread. The server calls `look` four times a second."""

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._reader = RequestReader(owner.waits_for_body, owner.admits)
        self._unread = b""  # bytes behind a request that is not answered yet
        self._waiting: deque[Incoming] = deque()
        self._is_answering = False
        self._refused: Malformed | None = None
        self._takes_requests = True
        self._has_eof = self._is_paused = self._is_lost = False
        self._drained = 0
        self._room: Gate | None = None
        self._has_room = True
        self._sent = self._taken = 0  # bytes written to the transport; bytes that the client had at the last look
        self._taken_at: float | None = None
        self.arrived_at = self.began_at = time.monotonic()
        self._closed_at: float | None = None
        self.has_asked = False
        self.held = 0
        """The bytes that `ConnectionOwner.hold` was told last."""
        self.transport: asyncio.Transport

    @property
    def is_idle(self) -> bool:
        """Whether every request is answered, and no further one has begun."""
        return not self.is_busy and self._reader.is_idle and self._closed_at is None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being made, is waited for, or is not with the client yet."""
        is_asked = self._is_answering or bool(self._waiting or self._unread)
        return is_asked or self.transport.get_write_buffer_size() > 0

    @property
    def is_at_work(self) -> bool:
        """Whether an answer is being made, is waited for, or is held up by the client."""
        return self._is_answering or bool(self._waiting) or not self._has_room

    @property
    def peer(self) -> str | None:
        """The client's address, None if it is not known."""
        name = self.transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, and tell the server."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=SEND_BUFFER)
        bound_unsent(self.transport.get_extra_info("socket"))
        self._owner.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Release everything. The work for the client goes on; its answer goes nowhere."""
        self._is_lost = True
        self._release()
        self._owner.closed(self)
        self._end_wait_for_room()

    def eof_received(self) -> bool:
        """Answer the requests that are there, then close; refuse half a request."""
        self._has_eof = True
        if self._closed_at is None:
            self._advance()
        elif not self.transport.get_write_buffer_size():
            self.transport.close()
        return True

    def pause_writing(self) -> None:
        """Begin no further answer, because the client takes this one slowly."""
        self._has_room = False

    def resume_writing(self) -> None:
        """Continue the answer, or begin the next one."""
        self._has_room = True
        self._end_wait_for_room()
        self._advance()

    def get_buffer(self, _: int) -> memoryview:
        """Return the buffer to receive into."""
        return self._owner.buffer

    def buffer_updated(self, size: int) -> None:
        """Read the requests in the buffer. Drop everything behind a request that closes the connection."""
        now = time.monotonic()
        if not self._takes_requests:
            self.arrived_at = now
            self._drained += size
            if self._drained > DRAIN_BYTES:
                self.transport.abort()
            return
        if self._owner.is_shedding and self._sheds(bytes(self._owner.buffer[:size])):
            self.began_at = self.arrived_at = now
            return
        if self._reader.is_idle:
            self.began_at = now
        self._unread += bytes(self._owner.buffer[:size])
        self._advance()
        if not self._reader.is_idle:
            self.arrived_at = now

    # What the answer calls.

    def send(self, piece: bytes) -> None:
        """Write a piece of the answer; do nothing if the client is gone."""
        if not self.transport.is_closing():
            self._sent += len(piece)
            self.transport.write(piece)

    def wait_for_room(self) -> bool:
        """Block the task until the client has taken most of what was sent. Return false if the client is gone."""
        if not self._has_room and not self.transport.is_closing():
            self._room = Gate()
            self._room.wait(86_400.0)  # `look` ends the wait sooner
            self._room = None
        return not self.transport.is_closing()

    def reset(self) -> None:
        """End in the middle of an answer, with a reset. HTTP/1.0 would take a plain end for the end of the answer."""
        if not self._is_lost:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_LINGER)
            self.transport.abort()

    def end_answer(self, *, keep: bool) -> None:
        """Go on with the next request; close unless `keep`."""
        self._is_answering = False
        self.began_at = self.arrived_at = time.monotonic()
        if not keep:
            self._release()
        if self._waiting or self._unread:
            asyncio.get_running_loop().call_soon(self._advance)  # this is a task, and only the loop begins tasks
        else:
            self._advance()

    # What the server calls.

    def look(self, now: float) -> None:
        """Close the connection if a limit of time has passed."""
        if self.transport.get_write_buffer_size():
            if self._takes_too_little(now):
                self.reset()
            return
        self._taken_at = None
        if self._closed_at is not None:
            self._closed_at = self._closed_at or now
            is_silent = now - max(self._closed_at, self.arrived_at) > CLOSE_SECONDS
            if self._has_eof or is_silent or now - self._closed_at > LINGER_SECONDS:
                self.transport.abort()
        elif self.is_busy:
            return
        elif self._reader.is_idle:
            if now - self.arrived_at > self._owner.keep_alive_seconds:
                self.close()
        elif self._is_late(now):
            self._refuse_unfinished("The request did not arrive in time")
            self._advance()

    def close(self) -> None:
        """Send the end, then wait for the client's: a reset in reply to the client's bytes could destroy the answer."""
        self._release()
        if self._closed_at is None and not self.transport.is_closing():
            self._closed_at = 0.0  # `look` sets the time when the client has the answer
            self._pace_reading()
            if self._has_eof and not self.transport.get_write_buffer_size():
                self.transport.close()
            else:
                self.transport.write_eof()

    def evict(self) -> None:
        """End at once, because others need the memory."""
        self._release()
        self.transport.abort()

    def _advance(self) -> None:
        """Do what is due next: begin an answer, refuse, close, or let the client send its body."""
        if self._is_answering or not self._has_room or self.transport.is_closing() or self._closed_at is not None:
            self._pace_reading()
            return
        self._read()
        if self._waiting:
            self._is_answering = self.has_asked = True
            request = self._waiting.popleft()
            self._pace_reading()
            self._owner.begin(request, self)
            return
        if self._has_eof and self._takes_requests and not self._reader.is_idle:
            self._refuse_unfinished("The request ended before it was whole")
        if self._refused is not None:
            self.send(self._owner.refuse(self._refused, self))
            self.close()
        elif not self._takes_requests or self._has_eof:
            self.close()
        else:
            self._pace_reading()
            if self._reader.take_continue():
                self.transport.write(CONTINUE)

    def _sheds(self, received: bytes) -> bool:
        """Answer a simple request that is turned away. Return false for all others."""
        if self.is_busy or self._has_eof or not self._reader.is_idle or self._closed_at is not None:
            return False
        if (answer := self._owner.shed_at_once(received)) is not None:
            self.has_asked = True
            self.send(answer)
        return answer is not None

    def _read(self) -> None:
        """Parse up to the next request that can be answered."""
        while self._unread and self._takes_requests and not self._waiting:
            piece, self._unread = self._unread[:PARSED_AT_ONCE], self._unread[PARSED_AT_ONCE:]
            try:
                self._waiting.extend(self._reader.feed(piece))
            except Malformed as refusal:
                self._waiting.extend(refusal.before)
                self._refused, self._takes_requests = refusal, False
        if not (self._waiting or self._refused):
            self._waiting.extend(self._reader.refused())
        if self._waiting and self._waiting[-1].is_last:
            self._takes_requests = False
        if not self._takes_requests:
            self._read_no_more()

    def _read_no_more(self) -> None:
        self._takes_requests, self._unread = False, b""
        self._reader.end()

    def _release(self) -> None:
        self._read_no_more()
        self._waiting.clear()
        self._refused = None  # its traceback keeps this connection alive
        self._count()

    def _count(self) -> None:
        held = self._reader.held + len(self._unread) + sum(request.held for request in self._waiting)
        if held or self.held:
            self._owner.hold(self, held)

    def _pace_reading(self) -> None:
        """Stop receiving while requests wait, and go on when none does."""
        self._count()
        is_full = bool(self._unread or self._waiting)
        if is_full != self._is_paused and not self._has_eof and not self.transport.is_closing():
            self._is_paused = is_full
            if is_full:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def _refuse_unfinished(self, sentence: str) -> None:
        self._refused = self._reader.broken_off(sentence)
        self._read_no_more()

    def _is_late(self, now: float) -> bool:
        if self._reader.in_body:
            return now - self.arrived_at > PIECE_SECONDS or now - self.began_at > BODY_SECONDS
        return now - self.began_at > HEAD_SECONDS

    def _takes_too_little(self, now: float) -> bool:
        waiting = self.transport.get_write_buffer_size() + unsent(self.transport.get_extra_info("socket"))
        taken = self._sent - waiting
        if self._taken_at is None or taken - self._taken >= LEAST_TAKEN:
            self._taken, self._taken_at = taken, now
        return now - self._taken_at > SEND_SECONDS

    def _end_wait_for_room(self) -> None:
        if self._room is not None:
            self._room.open()
