"""What an endpoint returns."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.models.writes import HttpAnswer
from app.utils.budget import Share

RETRY_AFTER_SECONDS = "1"


@dataclass(frozen=True, slots=True)
class Response:
    """A response without the headers that every response has (common.py)."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    pieces: Iterator[bytes] | None = None
    """The body in pieces, if its length is not known. An exception in it must not look like its end."""
    share: Share | None = None
    """The share of the budget that the body holds until the caller has all of it."""

    def release(self) -> None:
        """Give the share back."""
        if self.share is not None:
            self.share.release()


def to_response(answer: HttpAnswer, *headers: tuple[str, str]) -> Response:
    """Return the answer as a response."""
    if answer.status in (409, 503):
        headers = (*headers, ("Retry-After", RETRY_AFTER_SECONDS))
    return Response(answer.status, answer.body, headers=headers)
