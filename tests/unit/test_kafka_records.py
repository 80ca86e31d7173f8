"""Batches as a broker hands them over, with everything in them that kafka-python cannot decode [K10]."""

import gzip
import hashlib
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.consumer.fetcher import IsolationLevel
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.util import calc_crc32c

from app.kafka.quirks import records as quirks
from app.kafka.quirks.records import _Records
from app.models.records import UnreadRecord, after
from tests.harness.batches import PACK, a_batch, a_record, field, varint

PLACE = TopicPartition("order_commands", 0)


def read(*batches: bytes, at: int = 0, tries: dict[Any, int] | None = None, most: int | None = None) -> list[Any]:
    records = _Records(
        {} if tries is None else tries, at, PLACE, MemoryRecords(b"".join(batches)),
        isolation_level=IsolationLevel.READ_COMMITTED,
    )  # fmt: skip
    found = records.take(most)
    assert most is not None or not found or records.next_fetch_offset == after(found[-1])
    return found


GOOD = a_record(0)
HEADERS = {
    "a name that is not UTF-8": varint(1) + field(b"\xff\xfe") + field(b"v"),
    "no name": varint(1) + field(None) + field(b"v"),
    "fewer than it says": varint(3) + field(b"a") + field(b"v"),
    "more than it says": varint(0) + field(b"a") + field(b"v"),
    "a negative number": varint(-3),
    "a number beyond all": varint(2**40),
    "a name longer than the record": varint(1) + varint(500) + b"a",
    "a value longer than the record": varint(1) + field(b"a") + varint(2**40),
}


@pytest.mark.parametrize("codec", PACK)
@pytest.mark.parametrize("headers", HEADERS)
def test_a_command_is_read_whatever_is_in_its_headers(headers: str, codec: int) -> None:
    """[K10]"""
    neighbours = (a_record(0, b"before"), a_record(1, b"it", HEADERS[headers], b"key"), a_record(2, b"behind"))
    found = read(a_batch(5, *neighbours, codec=codec), at=5)
    assert [(record.offset, record.value) for record in found] == [(5, b"before"), (6, b"it"), (7, b"behind")]
    assert (found[1].key, found[1].timestamp) == (b"key", 1000)


def test_a_name_that_is_not_utf8_keeps_its_bytes() -> None:
    (record,) = read(a_batch(0, a_record(0, headers=HEADERS["a name that is not UTF-8"])))
    assert record.headers == [("\udcff\udcfe", b"v")]


def test_a_record_whose_lengths_do_not_fit_is_a_dead_letter_alone() -> None:
    """[K10]"""
    broken = b"\0" + varint(0) + varint(1) + varint(999) + b"xyz"
    found = read(a_batch(0, GOOD, varint(len(broken)) + broken, a_record(2)))
    assert [(record.offset, isinstance(record, UnreadRecord)) for record in found] == [
        (0, False),
        (1, True),
        (2, False),
    ]
    assert found[1].damaged
    assert "longer than it" in found[1].error


@pytest.mark.parametrize("length", [-5, 2**40])
def test_a_record_of_impossible_length_takes_the_rest_of_its_batch_with_it(length: int) -> None:
    """[K10] Others go on."""
    found = read(a_batch(0, GOOD, a_record(1, length=length), a_record(2)), a_batch(3, GOOD))
    assert [(record.offset, after(record)) for record in found] == [(0, 1), (1, 3), (3, 4)]
    assert found[1].error == "The client cannot decode the batch at offsets 1 to 2: it has lengths that do not fit"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (a_batch(2, GOOD, packed=b"garbage", codec=1), "cannot be unpacked: error"),
        (a_batch(2, GOOD, packed=gzip.compress(GOOD)[:-12], codec=1), "cannot be unpacked: EOFError"),
        (a_batch(2, GOOD, packed=b"garbage", codec=2), "cannot be unpacked"),
        (a_batch(2, GOOD, packed=b"\xff\xff\xff\xff\x0fgarbage", codec=2), "a block of it unpacks to"),
        (a_batch(2, GOOD, packed=b"garbage", codec=3), "cannot be unpacked: RuntimeError"),
        (a_batch(2, GOOD, packed=b"garbage", codec=4), "cannot be unpacked: ZstdError"),
        (a_batch(2, GOOD, packed=b"garbage", codec=7), "there is no compression 7"),
    ],
    ids=["gzip", "cut off", "snappy", "large snappy", "lz4", "zstd", "unknown"],
)
def test_a_batch_that_cannot_be_unpacked_is_a_dead_letter_with_its_bytes(broken: bytes, why: str) -> None:
    """[K10]"""
    found = read(a_batch(1, GOOD), broken, a_batch(3, GOOD), at=1)
    assert [(record.offset, isinstance(record, UnreadRecord)) for record in found] == [
        (1, False),
        (2, True),
        (3, False),
    ]
    assert (found[1].value, found[1].damaged) == (broken, True)
    assert why in found[1].error


def test_a_wrong_checksum_is_fetched_again_before_it_is_a_dead_letter() -> None:
    """What the network did passes; what the disk did does not. [K10]"""
    broken = bytearray(a_batch(1, GOOD, a_record(1)))
    broken[-1] ^= 1
    tries: dict[Any, int] = {}
    log = (a_batch(0, GOOD), bytes(broken), a_batch(3, GOOD))
    assert [record.offset for record in read(*log, tries=tries)] == [0]
    assert read(*log[1:], at=1, tries=tries)[0].value == bytes(broken)
    assert tries == {}
    assert [(record.offset, after(record)) for record in read(*log[1:], at=1, tries={(PLACE, 1): 1})] == [
        (1, 3),
        (3, 4),
    ]


def test_reading_begins_where_it_is_asked_for() -> None:
    batch = a_batch(0, *[a_record(it, headers=HEADERS["a name that is not UTF-8"]) for it in range(4)])
    assert [record.offset for record in read(batch, at=2)] == [2, 3]
    broken = a_batch(0, GOOD, a_record(1), packed=b"garbage", codec=1)
    assert [(record.offset, after(record)) for record in read(broken, at=1)] == [(1, 2)]


@pytest.mark.parametrize("codec", PACK)
@pytest.mark.parametrize("size", [2, 20])
def test_a_record_that_unpacks_to_megabytes_is_kept_as_its_beginning_length_and_hash(size: int, codec: int) -> None:
    """[K10]"""
    value = b"a" * (size * 1024 * 1024)
    found = read(a_batch(0, GOOD, a_record(1, value, key=b"key", headers=varint(1) + field(b"a") + field(b"b")),
                         a_record(2), codec=codec))  # fmt: skip
    assert [record.offset for record in found] == [0, 1, 2]
    large = found[1]
    assert (large.key, large.value, large.length) == (b"key", value[: 64 * 1024], len(value))
    assert large.sha256 == hashlib.sha256(value).digest()
    assert (large.headers, large.damaged) == ((("a", b"b"),), False)


@pytest.mark.parametrize("codec", [1, 3, 4])
def test_what_unpacks_without_end_is_not_unpacked_to_its_end(codec: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """[K10]"""
    monkeypatch.setattr("app.kafka.unpacking.MOST_BYTES", 6 * 1024 * 1024)
    records = [a_record(0, b"a" * 3 * 1024 * 1024), a_record(1, b"a" * 9 * 1024 * 1024), a_record(2)]
    found = read(a_batch(0, *records, codec=codec), a_batch(3, GOOD))
    assert [(record.offset, after(record)) for record in found] == [(0, 1), (1, 3), (3, 4)]
    assert "it unpacks to more than 6291456 bytes" in found[1].error


def test_many_records_that_unpack_to_a_megabyte_each_come_a_few_at_a_time() -> None:
    """Else 500 of them would be half a gigabyte."""
    batch = a_batch(0, *[a_record(delta, b"a" * 1024 * 1024) for delta in range(30)], codec=1)
    assert len(read(batch, most=500)) == 8


def test_a_poll_ends_with_a_partition_that_gave_enough() -> None:
    fetcher = SimpleNamespace(_append=lambda drained, part, most, update: 3, _parse_fetched_data=None)
    quirks.get_past_any_record(SimpleNamespace(_fetcher=fetcher))
    assert fetcher._append({}, SimpleNamespace(full=True), 500, True) == 500
    assert fetcher._append({}, SimpleNamespace(full=False), 500, True) == 3


def test_markers_and_aborted_transactions_are_left_out() -> None:
    def of_transaction(batch: bytes, attributes: int) -> bytes:
        counted = bytearray(batch[21:])
        struct.pack_into(">h", counted, 0, attributes)
        struct.pack_into(">q", counted, 22, 77)
        return batch[:17] + struct.pack(">I", calc_crc32c(counted)) + counted

    aborted = of_transaction(a_batch(0, GOOD), 0x10)
    marker = of_transaction(a_batch(1, a_record(0, b"\0\0\0\0\0\0", key=b"\0\0\0\0")), 0x30)
    committed = of_transaction(a_batch(2, GOOD), 0x10)
    records = _Records({}, 0, PLACE, MemoryRecords(aborted + marker + committed),
                       isolation_level=IsolationLevel.READ_COMMITTED,
                       aborted_transactions=[SimpleNamespace(producer_id=77, first_offset=0)])  # fmt: skip
    assert [record.offset for record in records.take()] == [2]
    assert records.next_fetch_offset == 3


def test_a_look_at_one_record_gets_past_what_is_beside_it() -> None:
    batch = a_batch(4, *[a_record(it, headers=HEADERS["a name that is not UTF-8"]) for it in range(3)])
    first = next(quirks.records_in(PLACE, batch, 5))
    assert (first.offset, first.leader_epoch) == (5, 0)
    broken = bytearray(a_batch(4, GOOD, a_record(1)))
    broken[-1] ^= 1
    assert isinstance(next(quirks.records_in(PLACE, bytes(broken), 5)), UnreadRecord)


def test_a_partition_that_the_broker_cannot_read_ends_no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """[K10] The others go on."""
    monkeypatch.setattr(quirks, "UNREADABLE_SECONDS", 0.0)

    def parse(fetched: Any) -> str:
        if fetched.fetched_offset == 7:
            raise CorruptRecordError
        return "records"

    fetcher = SimpleNamespace(_append=None, _parse_fetched_data=parse)
    quirks.get_past_any_record(SimpleNamespace(_fetcher=fetcher))
    found = [
        fetcher._parse_fetched_data(SimpleNamespace(topic_partition=PLACE, fetched_offset=offset)) for offset in (7, 8)
    ]
    assert found == [None, "records"]
