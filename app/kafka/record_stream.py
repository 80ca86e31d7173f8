"""Reads the records of one batch from a stream of its unpacked bytes, and gets past any of them.

This reader is slower than the library's own. It reads what that one cannot read or should not hold in memory: a header
key that is not UTF-8, lengths that do not fit, a record of a gigabyte. The length of a record leads to the next one,
whatever is in it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from app.models.records import Headers, UnreadRecord

KEPT_BYTES = 1024 * 1024  # of a larger record only the beginning is kept
BEGINNING_BYTES = 64 * 1024
MOST_HEADERS = 100
TOO_LARGE = f"The record is larger than {KEPT_BYTES} bytes"


@dataclass(frozen=True, slots=True)
class Read:
    """A record that could be read."""

    offset: int
    timestamp_delta: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A key or a value; of a large one only the beginning."""

    data: bytes | None
    length: int = 0
    sha256: bytes | None = None


class Lost(Exception):
    """The rest of the batch cannot be read: nothing tells where the next record begins."""


class _Malformed(Exception):
    """A length within the record does not fit."""


class RecordStream:
    """The records of one batch, one after the other."""

    def __init__(self, pieces: Iterator[bytes], base_offset: int, first_timestamp: int) -> None:
        self._pieces = pieces
        self._base_offset = base_offset
        self._first_timestamp = first_timestamp
        self._piece = b""
        self._at = 0
        self._before = 0  # bytes before the piece

    def next(self, expected: int, end_of_offsets: int) -> Read | UnreadRecord:
        """Return the next record. Raises Lost and Unpackable.

        `expected`: the least offset that it may have, and its offset if it is not readable; its offset must be less
        than `end_of_offsets`.
        """
        length = self._varint()
        end = self._place + length
        if length < 0:
            raise Lost
        offset, key, value, timestamp = expected, _Bytes(None), _Bytes(None), 0
        headers: Headers = ()
        error = None
        try:
            self._take(1)  # attributes, which are unused
            timestamp = self._varint()
            offset = self._base_offset + self._varint()
            error = "The client cannot decode the record: its key or value is longer than it"
            key, value = self._bytes(end), self._bytes(end)
            error = None
            headers = self._headers(end)
        except _Malformed:
            pass  # unreadable headers are left out: a command has nothing in them
        if self._place > end:
            raise Lost
        for _ in self._parts(end - self._place):
            pass
        if offset < expected:
            offset, error = expected, "The client cannot decode the record: its offset is before its neighbour's"
        elif offset >= end_of_offsets:
            offset, error = expected, "The client cannot decode the record: its offset is beyond its batch's"
        if error is None and key.length + value.length <= KEPT_BYTES:
            return Read(offset, timestamp, key.data, value.data, headers)
        kept = cut(value.data, value.length, value.sha256)
        place = (offset, offset + 1, self._first_timestamp + timestamp)
        beginning = key.data and key.data[:BEGINNING_BYTES]
        return UnreadRecord(*place, beginning, *kept, error or TOO_LARGE, headers, damaged=error is not None)

    def _headers(self, end: int) -> Headers:
        found = []
        for place in range(self._varint()):
            if self._place >= end:
                raise _Malformed
            name, value = self._bytes(end), self._bytes(end)
            if place < MOST_HEADERS:
                text = (name.data or b"")[:BEGINNING_BYTES].decode("utf-8", "surrogateescape")
                found.append((text, None if value.data is None else value.data[:BEGINNING_BYTES]))
        return tuple(found)

    def _bytes(self, end: int) -> _Bytes:
        """Return the bytes that follow their length, as far as they are kept."""
        length = self._varint()
        if length < 0:
            return _Bytes(None)
        if length > end - self._place:
            raise _Malformed
        if length <= KEPT_BYTES:
            return _Bytes(self._take(length), length)
        beginning, digest = bytearray(), hashlib.sha256()
        for part in self._parts(length):
            digest.update(part)
            beginning += part[: BEGINNING_BYTES - len(beginning)]
        return _Bytes(bytes(beginning), length, digest.digest())

    @property
    def _place(self) -> int:
        return self._before + self._at

    def _varint(self) -> int:
        result = shift = 0
        while True:
            byte = self._take(1)[0]
            result |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return (result >> 1) ^ -(result & 1)
            shift += 7
            if shift > 63:
                raise Lost

    def _take(self, length: int) -> bytes:
        if self._at + length <= len(self._piece):  # nearly always
            self._at += length
            return self._piece[self._at - length : self._at]
        return b"".join(self._parts(length))

    def _parts(self, length: int) -> Iterator[bytes]:
        while length > 0:
            if self._at == len(self._piece):
                self._before += len(self._piece)
                self._piece, self._at = next(self._pieces, b""), 0
                if not self._piece:
                    raise Lost
            part = self._piece[self._at : self._at + length]
            self._at += len(part)
            length -= len(part)
            yield part


def cut(
    value: bytes | None, length: int | None = None, sha256: bytes | None = None
) -> tuple[bytes | None, int | None, bytes | None]:
    """Return what is kept of a value, and its length and SHA-256 where that is not all of it."""
    if value is None or (sha256 is None and len(value) <= KEPT_BYTES):
        return value, None, None
    return value[:BEGINNING_BYTES], length or len(value), sha256 or hashlib.sha256(value).digest()
