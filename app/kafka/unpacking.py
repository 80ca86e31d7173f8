"""Unpacks a compressed batch in small pieces: a megabyte on the wire can be a gigabyte in memory."""

import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import lz4.frame
import snappy
import zstandard

PIECE_BYTES = 256 * 1024
MOST_BYTES = 1024 * 1024 * 1024  # one batch may unpack to so much; more is not read
SNAPPY_BYTES = 64 * 1024 * 1024  # of one block, which snappy unpacks only as a whole
_XERIAL = b"\x82SNAPPY\x00"


class Unpackable(Exception):
    """The bytes cannot be unpacked; the sentence says why."""


def pieces(codec: int, packed: bytes) -> Iterator[bytes]:
    """Yield the unpacked bytes of a batch, at most PIECE_BYTES (snappy: one block) at a time. Raises Unpackable."""
    if codec not in _CODECS:
        raise Unpackable(f"there is no compression {codec}")
    total = 0
    try:
        for piece in _CODECS[codec](packed):
            total += len(piece)
            if total > MOST_BYTES:
                raise Unpackable(f"it unpacks to more than {MOST_BYTES} bytes")
            yield piece
    except (zlib.error, snappy.UncompressError, zstandard.ZstdError, RuntimeError, ValueError, EOFError) as error:
        raise Unpackable(f"it cannot be unpacked: {type(error).__name__}") from error


def _plain(packed: bytes) -> Iterator[bytes]:
    for begin in range(0, len(packed), PIECE_BYTES):
        yield packed[begin : begin + PIECE_BYTES]


def _gzip(packed: bytes) -> Iterator[bytes]:
    return _in_frames(lambda: _Gzip(zlib.decompressobj(31)), packed)


def _lz4(packed: bytes) -> Iterator[bytes]:
    return _in_frames(lz4.frame.LZ4FrameDecompressor, packed)


def _in_frames(make: Callable[[], Any], packed: bytes) -> Iterator[bytes]:
    """`make`: a decompressor with the interface of the standard library's for bzip2."""
    while packed:
        frame = make()
        given = packed
        while not frame.eof:
            piece = frame.decompress(given, PIECE_BYTES)
            if not piece and not given and not frame.eof:
                raise EOFError
            given = b""
            if piece:
                yield piece
        packed = frame.unused_data or b""


class _Gzip:
    """zlib's decompressor with the interface of the other codecs."""

    def __init__(self, inflating: Any) -> None:
        self._inflating = inflating

    def decompress(self, data: bytes, most: int) -> bytes:
        unpacked: bytes = self._inflating.decompress(data or self._inflating.unconsumed_tail, most)
        return unpacked

    @property
    def eof(self) -> bool:
        return bool(self._inflating.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inflating.unused_data)


def _zstd(packed: bytes) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed), read_across_frames=True) as reader:
        while piece := reader.read(PIECE_BYTES):
            yield piece


def _snappy(packed: bytes) -> Iterator[bytes]:
    if not packed.startswith(_XERIAL):
        yield _snappy_block(packed)
        return
    at = 16
    while at < len(packed):
        size = int.from_bytes(packed[at : at + 4], "big", signed=True)
        if size <= 0 or at + 4 + size > len(packed):
            raise EOFError
        yield _snappy_block(packed[at + 4 : at + 4 + size])
        at += 4 + size


def _snappy_block(block: bytes) -> bytes:
    size = 0
    for place, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            break
    if size > SNAPPY_BYTES:
        raise Unpackable(f"a block of it unpacks to {size} bytes")
    return bytes(snappy.decompress(block))


_CODECS: dict[int, Callable[[bytes], Iterator[bytes]]] = {0: _plain, 1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
