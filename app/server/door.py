"""What a connection needs of the server it belongs to."""

from typing import TYPE_CHECKING, Protocol

from app.server.reader import Incoming, Malformed

if TYPE_CHECKING:
    from app.server.connection import Connection


class Door(Protocol):
    """The server, as its connections see it."""

    keep_alive_seconds: float
    buffer: memoryview
    """Where every connection receives into: what is there is taken at once."""

    def opened(self, connection: "Connection") -> None:
        """Take the connection into the list of those that are looked after."""

    def closed(self, connection: "Connection") -> None:
        """Forget the connection."""

    def waits_for_body(self, request: Incoming) -> bool:
        """Tell by its head whether the body of a request will be looked at."""

    def begin(self, request: Incoming, connection: "Connection") -> None:
        """Begin to answer a request; `connection.send` and `connection.end_answer` follow. Does not block."""

    def hold(self, connection: "Connection", size: int) -> None:
        """Count what the connection holds from now on; `give_place` follows where all hold too much."""

    def refuse(self, refusal: Malformed, connection: "Connection") -> bytes:
        """Return the whole answer to what is no request."""
