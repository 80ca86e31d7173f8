"""One bounded GET of a JWKS: how many bytes, and how long it takes from the first packet to the last.

A socket's own timeout begins anew with each byte: a provider that sends one byte a second would hold the thread for
days. Here each read gets what is left of the whole time.
"""

import functools
import http.client
import io
import socket
import ssl
from collections.abc import Mapping
from email.message import Message
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from app.utils.deadline import Deadline

MAX_BYTES = 256 * 1024
HEADERS = {"Accept": "application/json", "User-Agent": "order-service"}


class FetchError(Exception):
    """There is no document; the sentence says why, without the address."""


def fetch(url: str, ca_file: str, seconds: float) -> bytes:
    """Return the body of a 200. `ca_file` is empty for the system's certificates. Raises FetchError.

    Blocks for `seconds`; looking the name up and each address that does not answer come on top. Follows no redirect. A
    proxy of the environment (`https_proxy`) is used for https.
    """
    deadline = Deadline(seconds)
    try:
        proxies = ProxyHandler(None if url.startswith("https:") else {})  # plain http is for loopback alone
        https = _Https(deadline, _context(ca_file))
        opener = build_opener(proxies, _Http(deadline), https, _NoRedirect())
        with opener.open(Request(url, headers=HEADERS), timeout=seconds) as response:  # noqa: S310  # http or https
            body: bytes = response.read(MAX_BYTES + 1)
            if response.status != 200:
                raise FetchError(f"it answered {response.status}")
    except HTTPError as error:
        error.close()
        raise FetchError(f"it answered {error.code}") from None
    except TimeoutError:
        raise FetchError(f"it did not answer within {seconds:g} s") from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a name that IDNA refuses
        reason = getattr(error, "reason", error)
        late = isinstance(reason, TimeoutError)
        raise FetchError(f"it did not answer within {seconds:g} s" if late else _sentence(reason)) from None
    if len(body) > MAX_BYTES:
        raise FetchError(f"it answered more than {MAX_BYTES} bytes")
    return body


def _sentence(reason: object) -> str:
    return f"{type(reason).__name__}: {reason}"[:200]


def _context(ca_file: str) -> ssl.SSLContext:
    """Read the file anew each time, because it may have changed; the system's certificates take 17 ms and once do."""
    return ssl.create_default_context(cafile=ca_file) if ca_file else _system_context()


@functools.cache
def _system_context() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Bytes(io.RawIOBase):
    """What a connection sends, until the deadline."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self._raw = connection.makefile("rb", buffering=0)  # keeps the connection open until this is closed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Raises TimeoutError."""
        remaining = self._deadline.remaining
        if remaining <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Http(HTTPHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, request: Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_connection, http.client.HTTPConnection, self._deadline), request)


class _Https(HTTPSHandler):
    def __init__(self, deadline: Deadline, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._deadline = deadline
        self._tls = context

    def https_open(self, request: Request) -> http.client.HTTPResponse:
        connect = functools.partial(_connection, http.client.HTTPSConnection, self._deadline, context=self._tls)
        return self.do_open(connect, request)


def _connection(
    kind: type[http.client.HTTPConnection], deadline: Deadline, host: str, **options: Any
) -> http.client.HTTPConnection:
    def response(connection: socket.socket, *arguments: Any, **named: Any) -> http.client.HTTPResponse:
        made = http.client.HTTPResponse(connection, *arguments, **named)
        made.fp.close()
        made.fp = io.BufferedReader(_Bytes(connection, deadline))
        return made

    made = kind(host, **options)
    made.response_class = response  # type: ignore[assignment]  # it is only called
    return made


class _NoRedirect(HTTPRedirectHandler):
    """A redirect could lead to plain http, or into the own network: it is answered like any other failure."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Mapping[str, str] | Message, newurl: str
    ) -> None:
        return None
