"""The head of a response: status line, date, framing, headers."""

import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_DATE_SECONDS = 0.5


class HeadWriter:
    """Writes heads; makes the date anew twice a second."""

    def __init__(self, every_answer: Iterable[tuple[str, str]]) -> None:
        """`every_answer`: the headers of every response."""
        self._every_answer = "".join(f"{name}: {value}\r\n" for name, value in every_answer)
        self._date = ""
        self._date_until = 0.0

    def head(
        self,
        status: int,
        headers: Iterable[tuple[str, str]],
        content_type: str | None,
        length: int | None,
        version: str,
        *,
        keeps: bool,
    ) -> bytes:
        """Return the head. `length` None: the body is chunked, in HTTP/1.0 it ends with the connection."""
        lines = [_STATUS_LINES[status], f"Date: {self._now()}\r\n"]
        if content_type is not None:  # Flask's responses have every answer's headers, and a type if they need one
            lines.append(f"{self._every_answer}Content-Type: {content_type}\r\n")
            if length is not None:
                lines.append(f"Content-Length: {length}\r\n")
            elif version == "1.1":
                lines.append("Transfer-Encoding: chunked\r\n")
        lines += [f"{name}: {value}\r\n" for name, value in headers]
        if not keeps:
            lines.append("Connection: close\r\n")
        elif version == "1.0":
            lines.append("Connection: keep-alive\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("latin-1")

    def _now(self) -> str:
        now = time.monotonic()
        if now >= self._date_until:
            self._date, self._date_until = formatdate(usegmt=True), now + _DATE_SECONDS
        return self._date
