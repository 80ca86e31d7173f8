"""Batches of records as they are on the wire, byte by byte."""

import gzip
import struct
from collections.abc import Callable

import lz4.frame
import snappy
import zstandard
from kafka.record.util import calc_crc32c, encode_varint

PACK: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: gzip.compress,
    2: snappy.compress,
    3: lz4.frame.compress,
    4: zstandard.ZstdCompressor().compress,
}


def varint(number: int) -> bytes:
    found = bytearray()
    encode_varint(number, found.append)
    return bytes(found)


def field(data: bytes | None) -> bytes:
    return varint(-1) if data is None else varint(len(data)) + data


def a_record(
    delta: int, value: bytes | None = b"{}", headers: bytes = b"\0", key: bytes | None = None, length: int | None = None
) -> bytes:
    body = b"\0" + varint(0) + varint(delta) + field(key) + field(value) + headers
    return varint(len(body) if length is None else length) + body


def a_batch(base: int, *records: bytes, codec: int = 0, count: int | None = None, packed: bytes | None = None) -> bytes:
    data = PACK[codec](b"".join(records)) if packed is None else packed
    last = (len(records) if count is None else count) - 1
    counted = struct.pack(">hiqqqhii", codec, last, 1000, 1000, -1, -1, -1, last + 1) + data
    tail = struct.pack(">ibI", 0, 2, calc_crc32c(counted)) + counted
    return struct.pack(">qi", base, len(tail)) + tail
