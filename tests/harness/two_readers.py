"""HTTP as our reader takes it and as h11 does, for tests that compare them.

A proxy in front that reads a request otherwise than the service does lets one caller send requests in another's name.
"""

from collections.abc import Callable, Sequence

import h11

from app.server.incoming import Incoming, Malformed
from app.server.reader import RequestReader

Read = list[tuple[str, bytes | None, bytes, list[tuple[str, str]]]]
"""Method, path, body and sorted headers of each request."""


def ours(pieces: Sequence[bytes]) -> tuple[Read, bool]:
    """Return the requests that ours hands over, and whether it refuses what follows them."""
    found, refuses = incoming(pieces)
    return as_read(found), refuses


def as_read(found: Sequence[Incoming]) -> Read:
    """Return the requests in a form that can be compared."""
    return [(it.method, it.path, it.body or b"", sorted(map(_in_lower_case, it.headers))) for it in found]


def incoming(
    pieces: Sequence[bytes], admits: Callable[[Incoming], bool] = lambda _: True
) -> tuple[list[Incoming], bool]:
    """The same as `ours`, as the service has the requests. `admits`: which ones may send their body."""
    reader, found = RequestReader(lambda _: True, admits), list[Incoming]()
    refuses = False
    for piece in pieces:
        if refuses or (found and found[-1].is_last):
            break
        try:
            found += reader.feed(piece)
        except Malformed as refusal:
            found += refusal.before
            refuses = True
    return found, refuses


def theirs(data: bytes) -> Read:
    """Return the requests that h11 reads. A path is None where ours takes no such target."""
    wire = h11.Connection(h11.SERVER)
    wire.receive_data(data)
    found: Read = []
    while True:
        head, body = None, b""
        while not isinstance(event := _next(wire), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                return found
        assert head is not None
        fields = sorted((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
        found.append((head.method.decode(), _path(head.target), body, fields))
        wire.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        if wire.our_state is h11.SWITCHED_PROTOCOL:  # a tunnel
            return found
        wire.send(h11.EndOfMessage())
        is_open = wire.our_state is h11.DONE and wire.their_state is h11.DONE
        if not (is_open or _asks_to_keep(head)):
            return found
        rest, _ = wire.trailing_data
        wire = h11.Connection(h11.SERVER)
        wire.receive_data(rest.lstrip(b"\r\n"))  # it takes a bare line feed before a request for no empty line


def _in_lower_case(header: tuple[str, str]) -> tuple[str, str]:
    """Return the header as h11 does, which lowers the name of the coding."""
    name, value = header
    return name, value.lower() if name == "transfer-encoding" else value


def _asks_to_keep(head: h11.Request) -> bool:
    """Whether an HTTP/1.0 client asks that the connection be kept: h11 closes it all the same."""
    options = {value for name, value in head.headers if name == b"connection"}
    return head.http_version == b"1.0" and options == {b"keep-alive"}


def _next(wire: h11.Connection) -> object:
    try:
        return wire.next_event()
    except h11.RemoteProtocolError:
        return None


def _path(target: bytes) -> bytes | None:
    try:
        return RequestReader(lambda _: True).feed(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target)[0].path
    except Malformed:
        return None
