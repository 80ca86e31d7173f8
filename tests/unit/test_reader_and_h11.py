"""Two readers of HTTP, one opinion: what ours hands over, h11 reads the same way; what is well formed, ours takes."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.two_readers import ours, theirs

METHODS = [b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"get", b"G(T", b""]
TARGETS = [b"/", b"/orders?page=2", b"/a%20b", b"*", b"http://x/y", b"/a b", b"/\x7f", b"//x", b"/#f", b""]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"HTTP/1.1 ", b"HTTP/01.1"]
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n "]
FIELDS = [
    b"Host: x",
    b"Host: x",
    b"Host: y",
    b"Host:",
    b"Content-Length: 0",
    b"Content-Length: 3",
    b"Content-Length: +3",
    b"Content-Length: 3, 3",
    b"Content-Length: 0x3",
    b"Content-Length:3 ",
    b"Content-Length : 3",
    b"Content_Length: 3",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: upgrade",
    b"Upgrade: h2c",
    b"X-A: b ",
    b"X-A:\tb",
    b"X-\xe9: b",
    b"X-A: \xe9",
    b"X-A: a\x00b",
    b"X A: b",
    b": b",
    b"X-A",
    b" X-A: b",
    b"Content-Type: application/json",
]
BODIES = [
    b"",
    b"abc",
    b"0\r\n\r\n",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"3;a=b\r\nabc\r\n0\r\nT: t\r\n\r\n",
    b"3 \r\nabc\r\n0\r\n\r\n",
    b"03\r\nabc\r\n0\r\n\r\n",
    b"3\nabc\n0\n\n",
    b"3\r\nabcd\r\n0\r\n\r\n",
    b"-1\r\n",
    b"0x3\r\nabc\r\n0\r\n\r\n",
    b"\r\n3\r\nabc\r\n0\r\n\r\n",
]
NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-!#$%&'*+.^_`|~", min_size=1, max_size=9)
VALUES = st.text("".join(map(chr, (*range(0x21, 0x7F), *range(0xA1, 0x100)))), max_size=20)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Something like a request."""
    one = st.sampled_from
    line = b" ".join((draw(one(METHODS)), draw(one(TARGETS)), draw(one(VERSIONS)))) + draw(one(ENDS))
    fields = [field + draw(one(ENDS)) for field in draw(st.lists(one(FIELDS), max_size=5))]
    return line + b"".join(fields) + draw(one(ENDS)) + draw(one(BODIES))


@st.composite
def well_formed(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A request as it must be, and its body."""
    fields = [
        f"X-{name}:{' ' * draw(st.integers(0, 2))}{value}" for name, value in draw(st.lists(st.tuples(NAMES, VALUES)))
    ]
    body = draw(st.binary(max_size=200))
    if draw(st.booleans()):
        sizes = draw(st.lists(st.integers(1, 50), max_size=5))
        ends = [0, *(sum(sizes[: n + 1]) for n in range(len(sizes))), len(body)]
        chunks = [body[a:b] for a, b in pairwise(sorted(min(end, len(body)) for end in ends)) if a != b]
        framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        fields.append("Transfer-Encoding: chunked")
    else:
        framed = body
        fields.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(["POST /createOrder HTTP/1.1", "Host: x", *draw(st.permutations(fields)), "", ""])
    return head.encode("latin-1") + framed, body


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in pieces."""
    places = sorted({0, len(data), *draw(st.lists(st.integers(0, len(data)), max_size=6))})
    return [data[a:b] for a, b in pairwise(places)]


def test_a_line_feed_between_requests_is_passed_over() -> None:
    """It may be, and nothing else is read into it."""
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
    read, refuses = ours([sent])
    assert (read, len(read), refuses) == (theirs(sent), 2, False)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_handed_over_reads_the_same_elsewhere(data: st.DataObject) -> None:
    sent = b"".join(data.draw(st.lists(messages(), min_size=1, max_size=2)))
    read, _ = ours([sent])
    assert theirs(sent)[: len(read)] == read


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_where_the_network_cuts_a_message_changes_nothing(data: st.DataObject) -> None:
    sent = b"".join(data.draw(st.lists(messages(), min_size=1, max_size=3)))
    assert ours(data.draw(cut(sent))) == ours([sent])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_is_well_formed_is_taken(data: st.DataObject) -> None:
    requests = data.draw(st.lists(well_formed(), min_size=1, max_size=3))
    sent = b"".join(message for message, _ in requests)
    read, refuses = ours(data.draw(cut(sent)))
    assert not refuses
    assert [body for _, _, body, _ in read] == [body for _, body in requests]
    assert read == theirs(sent)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.data())
def test_bytes_of_any_kind_are_requests_or_refused(noise: bytes, data: st.DataObject) -> None:
    """Nothing else comes out of the reader, whatever went in."""
    request = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    place = data.draw(st.integers(0, len(request)))
    ours(data.draw(cut(request[:place] + noise + request[place:])))
