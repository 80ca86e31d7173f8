"""What a connection needs of its server."""

from typing import TYPE_CHECKING, Protocol

from app.server.reader import Incoming, Malformed

if TYPE_CHECKING:
    from app.server.connection import Connection


class Door(Protocol):
    """The server, as its connections see it. No method blocks."""

    keep_alive_seconds: float
    buffer: memoryview
    """Every connection receives into this buffer, and copies at once what is its own."""

    def opened(self, connection: "Connection") -> None:
        """Add the connection to those that the server looks after."""

    def closed(self, connection: "Connection") -> None:
        """Forget the connection."""

    def waits_for_body(self, request: Incoming) -> bool:
        """Tell by the head of a request whether its body will be read."""

    def begin(self, request: Incoming, connection: "Connection") -> None:
        """Begin to answer a request; `connection.send` and `connection.end_answer` follow."""

    def hold(self, connection: "Connection", size: int) -> None:
        """Count so many bytes for the connection from now on; `evict` follows where all together hold too much."""

    def refuse(self, refusal: Malformed, connection: "Connection") -> bytes:
        """Return the whole answer to bytes that are no request."""
