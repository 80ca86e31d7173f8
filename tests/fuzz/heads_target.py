"""HTTP heads: the reader fed in pieces of any size, beside h11; then what endpoints and Flask read of a request.

The first byte is the size of the pieces, 0 for all at once.
"""

import re

from app.api import requests
from app.api.requests import Request
from app.config.parsers import is_address, networks
from app.models.errors import Refused
from app.server.environ import Proxies, environ
from app.server.incoming import Incoming
from tests.fuzz.checks import check_refusal
from tests.harness.two_readers import Read, as_read, incoming, ours, theirs

TRUSTING = Proxies(networks("*"))

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_LINE_BREAK = re.compile(r"[\r\n\0]")


def heads(data: bytes) -> None:
    """Read the bytes as what a connection sends. Raises AssertionError, or what the service would raise."""
    size, sent = (data[0] or len(data)) if data else 1, data[1:]
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    found, refuses = incoming(pieces)
    read, (whole, whole_refuses) = as_read(found), ours([sent])
    check_common(read, whole)
    assert refuses or whole_refuses or len(read) == len(whole)
    check_common(whole, theirs(sent))
    guarded, _ = incoming(pieces, lambda request: request.header("authorization") is None)
    check_common([(*it[:2], b"", it[3]) for it in as_read(guarded)], [(*it[:2], b"", it[3]) for it in read])
    assert all(request.is_last for request in guarded if request.body is None)
    for request in found:
        check_head(request)
        check_environ(request)
        check_parts(request)


def check_common(one: Read, other: Read) -> None:
    """Hold what two readers made of the same bytes against each other, as far as both came."""
    common = min(len(one), len(other))
    assert one[:common] == other[:common]


def check_head(request: Incoming) -> None:
    """Hold a request against what may be logged, echoed and compared by name."""
    for name, value in request.headers:
        assert _TOKEN.fullmatch(name), name
        assert not _LINE_BREAK.search(value), value
    assert request.method.isascii()
    assert b" " not in request.query
    lengths = request.values("content-length"), request.values("transfer-encoding")
    assert len(lengths[0]) + len(lengths[1]) <= 1


def check_environ(request: Incoming) -> None:
    """Hold what Flask gets from behind a trusted proxy against what an address and a host can be."""
    made = environ(request, "10.0.0.1", TRUSTING)
    assert is_address(made["REMOTE_ADDR"])
    assert not _LINE_BREAK.search(made["SCRIPT_NAME"] + made.get("HTTP_HOST", ""))
    assert made["wsgi.url_scheme"] in ("http", "https")
    assert all(isinstance(made[name], str) for name in made if name.isupper())


def check_parts(incoming: Incoming) -> None:
    """Read what endpoints read: all of it is usable, or refused."""
    path = incoming.path.decode("utf-8", "surrogateescape")
    query = incoming.query.decode("utf-8", "surrogateescape")
    request = requests.begin(incoming.method, path, query, incoming.values, lambda: incoming.body or b"")
    assert _NAME.fullmatch(request.correlation_id)
    for read in (_texts, _numbers, _key):
        try:
            read(request)
        except Refused as refusal:
            check_refusal(refusal.code, str(refusal))


def _texts(request: Request) -> None:
    requests.utf8(request.path, "customer_id").encode()
    for name in ("orderId", "runnerId", "status"):
        (requests.query_text(request, name) or "").encode()


def _numbers(request: Request) -> None:
    assert 1 <= requests.query_number(request, "page", 1) <= 10**18
    assert 1 <= requests.query_number(request, "limit", 10, 1000) <= 1000


def _key(request: Request) -> None:
    key = requests.idempotency_key(request, b"")
    assert key is None or (key.key.isascii() and key.key.isprintable() and len(key.key) <= 255)
    refusal = requests.refusal_of_head(request.header)
    if refusal is not None:
        raise refusal
