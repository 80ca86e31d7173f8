"""A request as the reader hands it on, and the refusal of bytes that are none."""

from collections.abc import Sequence
from dataclasses import dataclass, field

HEADER_BYTES = 200  # memory that a header needs besides its text
REQUEST_BYTES = 1024  # memory that a small request needs besides its headers

Headers = Sequence[tuple[str, str]]


class Malformed(Exception):
    """The bytes are no request: answer with the status of `code` and close.

    `headers`: those that could be read; `before`: the whole requests in front of these bytes.
    """

    headers: Headers = ()
    before: "Sequence[Incoming]" = ()

    def __init__(self, sentence: str, code: str = "bad_request") -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(slots=True)
class Incoming:
    """A request as it arrived: names of headers in lower case, a repeated header as often as it was sent.

    `path` is percent-decoded and holds bytes, as WSGI's PATH_INFO does. `body` is None where it was too large or not
    asked for; then nothing more is read from the connection (`is_last`). `refusal`: why the body was not asked for.
    """

    method: str
    path: bytes
    query: bytes
    version: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | None = b""
    is_last: bool = False
    is_shed: bool = False  # turned away, because the service is overloaded
    refusal: Exception | None = None

    def header(self, name: str) -> str | None:
        """Return the value of the first header of that name."""
        return next((value for found, value in self.headers if found == name), None)

    @property
    def held(self) -> int:
        """An upper bound of its memory in bytes, for a request with less than a kilobyte of text and body."""
        return REQUEST_BYTES + HEADER_BYTES * len(self.headers)

    def values(self, name: str) -> list[str]:
        """Return the values of all headers of that name."""
        return values_of(self.headers, name)


def values_of(headers: Headers, name: str) -> list[str]:
    """Return the values of all headers of that name."""
    return [value for found, value in headers if found == name]
