"""The port of a connection: what it asks of the server that owns it."""

from typing import TYPE_CHECKING, Protocol

from app.server.incoming import Incoming, Malformed

if TYPE_CHECKING:
    from app.server.connection import Connection


class ConnectionOwner(Protocol):
    """The server, as its connections see it. No method blocks."""

    keep_alive_seconds: float
    is_shedding: bool
    """Whether requests were turned away lately: then ask `shed_at_once`."""
    buffer: memoryview
    """All connections receive into this buffer; each copies its bytes out at once."""

    def opened(self, connection: "Connection") -> None:
        """Begin to look after the connection."""

    def closed(self, connection: "Connection") -> None:
        """Forget the connection."""

    def waits_for_body(self, request: Incoming) -> bool:
        """Tell by the head of a request whether its body will be read."""

    def admits(self, request: Incoming) -> bool:
        """Tell by the head of a request whether its caller may ask for this."""

    def shed_at_once(self, data: bytes) -> bytes | None:
        """Return the response to a simple request that is turned away, None for all others."""

    def begin(self, request: Incoming, connection: "Connection") -> None:
        """Begin to answer a request; `connection.send` and `connection.end_answer` follow."""

    def hold(self, connection: "Connection", size: int) -> None:
        """Count so many bytes for the connection from now on. Calls `evict` if all together hold too much."""

    def refuse(self, refusal: Malformed, connection: "Connection") -> bytes:
        """Return the whole response to a malformed request, as bytes."""
