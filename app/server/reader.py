"""Bytes of a connection -> requests.

httptools (llhttp, the parser of Node) parses messages and refuses malformed ones. This module adds what the parser
leaves to its users: bounds of size, `Expect`, and refusals before the body has arrived.
"""

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import httptools

from app.server.incoming import HEADER_BYTES, Incoming, Malformed
from app.wire.codes import CODES
from app.wire.decoder import MAX_BYTES

MAX_LINE = 8190
MAX_HEAD = 32 * 1024
MAX_HEADERS = 100  # as in gunicorn; a header of four bytes costs fifty times its size
MAX_BESIDE_BODY = 64 * 1024  # sizes and extensions of chunks, trailers
MAX_BLANK = 64  # bytes of blank lines before a request line: old clients send one behind a body
FORWARDED_ONCE = frozenset({"host", "content-length", "content-type", "transfer-encoding", "expect"})

_Asked = Callable[[Incoming], bool]

_HOST = re.compile(r"(?:(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")


class RequestReader:
    """Reads the requests of one connection, in order."""

    def __init__(self, waits_for_body: _Asked, admits: _Asked = lambda _: True) -> None:
        """`waits_for_body` tells by the head whether the body will be read; if not, the client is not asked for it.

        `admits` tells by the head whether the caller may ask for this; if not, a body on its way is not waited for.
        """
        self._waits_for_body = waits_for_body
        self._admits = admits
        self._parser = httptools.HttpRequestParser(self)
        self._ready: list[Incoming] = []
        self._expects = False
        self.is_idle = True
        """Whether no byte of a further request has arrived. Blank lines before a request do not count."""
        self._begin()

    @property
    def in_body(self) -> bool:
        """Whether the head is complete and the body is not."""
        return self._request is not None

    @property
    def held(self) -> int:
        """An upper bound of the memory of the unfinished request, in bytes."""
        beside_body = max(self._fed - self._body_bytes, 0)  # the parser keeps a line until its end
        return beside_body + HEADER_BYTES * len(self._headers) + self._body.__alloc__()

    def end(self) -> None:
        """Release everything. Feed nothing from now on."""
        self._begin()
        self._ready = []
        self.__dict__.pop("_parser", None)  # a cycle, which only the garbage collector would free

    def take_continue(self) -> bool:
        """Return, once per request, whether the client waits for `100 Continue` before it sends the body."""
        asked, self._expects = self._expects, False
        return asked

    def feed(self, data: bytes) -> list[Incoming]:
        """Return the requests that can be answered now. Raises Malformed. Feed nothing after that, or a last request.

        The size of `data` bounds how many requests one call returns.
        """
        self._ready = []
        try:
            self._feed(data)
        except Malformed as refusal:
            if self._ready and self._ready[-1].is_last:
                return self._ready
            refusal.before = self._ready
            raise self._with_headers(refusal) from None
        return self._ready

    def broken_off(self, sentence: str) -> Malformed:
        """Return the refusal of an unfinished request whose rest will not arrive."""
        return self._with_headers(Malformed(sentence))

    def _feed(self, data: bytes) -> None:
        self._parse(data)
        if self._refusal is not None:
            raise self._refusal
        if not self._ready:  # otherwise it is unknown how many of these bytes belong to the next request
            self._blank += len(data) if self.is_idle else 0
            self._fed += 0 if self.is_idle else len(data)
        if self._fed - self._body_bytes > (MAX_BESIDE_BODY if self.in_body else MAX_HEAD):
            raise self._too_large()
        if self._blank > MAX_BLANK:
            raise Malformed("The HTTP request is malformed")

    def _parse(self, data: bytes) -> None:
        try:
            while data:
                try:
                    self._parser.feed_data(data)
                    return
                except httptools.HttpParserUpgrade as upgrade:
                    self._stay_with_http()
                    data = data[upgrade.args[0] :]
        except httptools.HttpParserInvalidMethodError:
            raise Malformed("The method is not known") from None
        except httptools.HttpParserError:
            raise Malformed("The HTTP request is malformed") from None

    def _too_large(self) -> Malformed:
        code = "request_line_too_large" if len(self._target) > MAX_LINE else "head_too_large"
        return Malformed(CODES[code][1], code)

    def _with_headers(self, refusal: Malformed) -> Malformed:
        refusal.headers = self._headers
        return refusal

    def _begin(self) -> None:
        self._request: Incoming | None = None
        self._headers: list[tuple[str, str]] = []
        self._target = b""
        self._body = bytearray()
        self.is_idle = True
        self._fed = self._body_bytes = self._blank = 0
        self._expects = self._is_replayed = self._closes = self._is_admitted = False
        self._refusal: Malformed | None = None

    def refused(self) -> list[Incoming]:
        """Return the request whose body is on its way, without it, if its caller is not admitted; asked once."""
        self._ready = []
        if self._request is not None and not self._request.is_last and not self._is_admitted:
            self._is_admitted = True
            if not self._admits(self._request):
                self._hand_over(None)
        return self._ready

    # What the parser calls. The parser swallows exceptions, so these methods store a refusal instead.

    def on_message_begin(self) -> None:
        """A request has begun."""
        self.is_idle = False

    def on_url(self, piece: bytes) -> None:
        """Collect the target of the request line."""
        if not self._is_replayed:
            self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; ignore trailers, which come behind the body."""
        if self._request is not None or self._refusal is not None:
            return
        if len(self._headers) == MAX_HEADERS:
            self._refusal = self._too_large()
        else:
            text = value.decode("latin-1").rstrip(" \t")  # the parser keeps spaces behind the value
            self._headers.append((name.decode("latin-1").lower(), text))

    def on_headers_complete(self) -> None:
        """Check the head, and decide whether to wait for the body."""
        if self._is_replayed or self._refusal is not None:
            return
        try:
            self._request = self._read_head()
        except (Malformed, httptools.HttpParserInvalidURLError) as error:
            self._refusal = error if isinstance(error, Malformed) else Malformed("The request's target is malformed")
            return
        length = self._request.header("content-length")
        asks = self._request.version == "1.1" and length != "0"
        expected = self._request.header("expect") if asks else None
        if self._is_too_large() or (expected is not None and not self._waits_for_body(self._request)):
            self._hand_over(None)
        elif expected is not None:
            self._expects = True

    def on_body(self, piece: bytes) -> None:
        """Collect the body as long as it fits."""
        self._body_bytes += len(piece)
        if self._request is None or self._request.is_last:
            return
        if self._body_bytes > MAX_BYTES:
            self._hand_over(None)
        else:
            self._body += piece

    def on_message_complete(self) -> None:
        """Hand the request over."""
        if self._parser.should_upgrade() and not self._is_replayed:
            return  # HttpParserUpgrade follows, and `_parse` handles it
        if self._refusal is not None or self._request is None or self._request.is_last:
            return
        self._request.is_last = self._closes or not self._parser.should_keep_alive()
        self._hand_over(bytes(self._body))
        if not self._request.is_last:
            self._begin()

    def _hand_over(self, body: bytes | None) -> None:
        assert self._request is not None
        self._request.body = body
        self._request.is_last = self._request.is_last or body is None
        self._body = bytearray()
        self._ready.append(self._request)

    def _read_head(self) -> Incoming:
        size = len(self._target) + sum(len(name) + len(value) + 4 for name, value in self._headers)
        if len(self._target) > MAX_LINE or size > MAX_HEAD:
            raise self._too_large()
        version = self._parser.get_http_version()
        names = [name for name, _ in self._headers]
        if any(names.count(name) > 1 for name in FORWARDED_ONCE.intersection(names)):
            raise Malformed("A header that can only be there once is there twice")
        if version == "1.1" and "host" not in names:
            raise Malformed("The Host header is missing")
        if not all(_HOST.fullmatch(value) for name, value in self._headers if name == "host"):
            raise Malformed("The Host header is malformed")
        method = self._parser.get_method().decode()
        path, query = _split(self._target)
        self._target = b""
        request = Incoming(method, unquote_to_bytes(path), query, version, self._headers)
        coding = request.header("transfer-encoding")
        if coding is not None and (version != "1.1" or coding.lower() != "chunked"):
            raise Malformed("The only transfer coding is chunked")
        expected = request.header("expect")
        if expected is not None and expected.lower() != "100-continue":
            raise Malformed("Nothing can be expected but 100-continue")
        return request

    def _is_too_large(self) -> bool:
        assert self._request is not None
        length = self._request.header("content-length")
        return length is not None and int(length) > MAX_BYTES

    def _stay_with_http(self) -> None:
        """Read the body as if the client had offered no other protocol: the parser stops at the head of an upgrade."""
        if self._request is None:
            return
        options = ",".join(self._request.values("connection")).lower().split(",")
        self._closes = self._request.version != "1.1" or "close" in (option.strip() for option in options)
        framing = [(name, value) for name, value in self._headers if name in ("content-length", "transfer-encoding")]
        lines = ["POST / HTTP/1.1", *(f"{name}: {value}" for name, value in framing), "", ""]
        self._parser = httptools.HttpRequestParser(self)
        self._is_replayed = True
        self._parser.feed_data("\r\n".join(lines).encode("latin-1"))


def _split(target: bytes) -> tuple[bytes, bytes]:
    if target.startswith(b"/"):
        path, _, query = target.partition(b"?")
        return path, query
    if target == b"*":
        return target, b""
    found = httptools.parse_url(target)
    return found.path or b"/", found.query or b""
