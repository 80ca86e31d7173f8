"""Makes kafka-python get past every record, whatever is in it [K10].

What it does: by itself kafka-python raises from `poll` for a header key that is not UTF-8, a wrong checksum, or a codec
that it does not know. It raises for ever, and so no other partition is read either. It also unpacks a batch in one
piece, however much memory that takes. Here its own reader still reads each batch. RecordStream reads what that reader
cannot, record by record, and a record that this cannot read either becomes an UnreadRecord.
What it touches: the consumer's `_fetcher` with `_append`, `_parse_fetched_data` and `PartitionRecords`; the
`_next_slice` of MemoryRecords; `_buffer`, `_pos` and `_decompressed` of a batch.
What it bought: no record stops a partition, and one poll hands out about POLL_BYTES at most.
Fails without it: tests/unit/test_kafka_records.py, tests/integration/test_kafka_undecodable.py.
"""

import contextlib
import functools
import itertools
import logging
import time
from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord, Fetcher, IsolationLevel
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords

from app.kafka.record_stream import BEGINNING_BYTES, KEPT_BYTES, TOO_LARGE, Lost, RecordStream, cut
from app.kafka.unpacking import Unpackable, pieces
from app.models.records import UnreadRecord

log = logging.getLogger(__name__)

WHOLE_BYTES = 4 * 1024 * 1024  # a batch that unpacks to no more is read as a whole
POLL_BYTES = 8 * 1024 * 1024  # records of one poll, about
TRIES = 2  # of a batch whose checksum is wrong: the network may have damaged it
UNREADABLE_SECONDS = 0.1  # between two tries to have a damaged segment read


def get_past_any_record(consumer: KafkaConsumer) -> None:
    """Make the consumer return UnreadRecords for what cannot be decoded, and no more than about POLL_BYTES at once.

    A partition that the broker itself cannot read gives nothing, and the others go on. The watch sees it stand.
    """
    fetcher = consumer._fetcher
    fetcher.PartitionRecords = functools.partial(_Records, {})
    append, parse = fetcher._append, fetcher._parse_fetched_data

    def parse_or_wait(fetched: Any) -> Any:
        try:
            return parse(fetched)
        except CorruptRecordError:
            log.warning("the broker cannot read partition %s at %s", fetched.topic_partition, fetched.fetched_offset)
            time.sleep(UNREADABLE_SECONDS)  # the client asks for it again at once
            return None

    def append_some(drained: Any, part: Any, most: int, update: bool) -> int:
        taken: int = append(drained, part, most, update)
        return most if getattr(part, "full", False) else taken

    fetcher._append = append_some
    fetcher._parse_fetched_data = parse_or_wait


def records_in(place: TopicPartition, data: bytes, offset: int) -> Iterator[Any]:
    """Yield the records in a broker's answer from an offset on, UnreadRecords among them."""
    found: Iterator[Any] = _Records(None, offset, place, MemoryRecords(data)).record_iterator
    return found


class _Records(Fetcher.PartitionRecords):
    """The records of one partition in one answer of the broker."""

    def __init__(self, tries: dict[tuple[TopicPartition, int], int] | None, *arguments: Any, **options: Any) -> None:
        self._tries = tries
        self.full = False
        super().__init__(*arguments, **options)

    def take(self, n: int | None = None) -> list[Any]:
        """Return the next records: at most `n`, and no more once they have POLL_BYTES."""
        records: list[Any] = []
        size = 0
        while size < POLL_BYTES and (n is None or len(records) < n) and self.record_iterator is not None:
            record = next(self.record_iterator, None)
            if record is not None:
                records.append(record)
                size += len(record.key or b"") + len(record.value or b"")
        self.full = size >= POLL_BYTES
        return records

    def _unpack_records(self, tp: TopicPartition, records: Any, *_: object) -> Iterator[Any]:
        while records.has_next():
            begin = _base_offset(records._next_slice)
            try:
                batch = records.next_batch()
            except CorruptRecordError:  # too short to have a header
                yield self._unread(begin, begin + 1, None, "is too short")
                continue
            if batch.magic < 2:
                yield from self._of_old_format(tp, batch)
                continue
            end = _end(batch, records._next_slice)
            if not batch.validate_crc():
                if self._tries_again(tp, batch.base_offset):
                    break
                yield self._unread(batch.base_offset, end, batch._buffer, "has a wrong checksum")
            elif self._holds_records(batch):
                yield from self._of_batch(tp, batch, end)
            self.next_fetch_offset = max(end, self.fetch_offset)
        self.drain()

    def _tries_again(self, tp: TopicPartition, base_offset: int) -> bool:
        """Tell whether the batch is to be fetched again: the client asks for what it did not return."""
        if self._tries is None:
            return False
        tries = self._tries[tp, base_offset] = self._tries.get((tp, base_offset), 0) + 1
        log.warning("partition %s: the batch at %s has a wrong checksum", tp.partition, base_offset)
        if tries < TRIES:
            return True
        del self._tries[tp, base_offset]
        return False

    def _holds_records(self, batch: Any) -> bool:
        """Tell whether the batch is for consumers: no marker of a transaction, and of no aborted one."""
        self.leader_epoch = batch.leader_epoch
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if batch.is_control_batch and self._aborts(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return False
        return not batch.is_control_batch

    def _aborts(self, batch: Any) -> bool:
        try:
            return bool(self._contains_abort_marker(batch))
        except (CorruptRecordError, ValueError, IndexError, StopIteration):
            return False

    def _of_batch(self, tp: TopicPartition, batch: Any, end: int) -> Iterator[Any]:
        if batch.records_count > end - batch.base_offset:
            yield self._unread(batch.base_offset, end, batch._buffer, "has more records than offsets")
            return
        unpacked = pieces(batch.compression_type, bytes(memoryview(batch._buffer)[batch._pos :]))
        begun: list[bytes] = []
        size = 0
        try:
            for piece in unpacked:
                begun.append(piece)
                size += len(piece)
                if size > WHOLE_BYTES:
                    break
        except Unpackable as error:
            yield self._unread(batch.base_offset, end, batch._buffer, str(error))
            return
        if size <= WHOLE_BYTES and (found := self._read_whole(tp, batch, b"".join(begun), end)) is not None:
            for record in found:
                self.next_fetch_offset = record.offset + 1
                yield record
            return
        stream = RecordStream(itertools.chain(begun, unpacked), batch.base_offset, batch.first_timestamp)
        del begun
        yield from self._of_stream(tp, batch, end, stream)

    def _read_whole(self, tp: TopicPartition, batch: Any, data: bytes, end: int) -> list[Any] | None:
        """Return the batch's records as the library reads them, None where it cannot or their offsets do not fit."""
        batch._buffer, batch._pos, batch._decompressed, wire = bytearray(data), 0, True, batch._buffer
        with contextlib.suppress(CorruptRecordError, ValueError, IndexError):
            found = [self._kept(self._record(tp, record, record.headers)) for record in batch]
            if _are_in_order(found, batch.base_offset, end):
                return found
        batch._buffer = wire
        return None

    def _of_stream(self, tp: TopicPartition, batch: Any, end: int, stream: RecordStream) -> Iterator[Any]:
        expected = batch.base_offset
        for following in reversed(range(batch.records_count)):
            try:
                read = stream.next(expected, end - following)
            except Lost:
                yield self._unread(expected, end, batch._buffer, "has lengths that do not fit")
                return
            except Unpackable as error:
                yield self._unread(expected, end, batch._buffer, str(error))
                return
            self.next_fetch_offset = expected = read.offset + 1
            if isinstance(read, UnreadRecord):
                yield read
                continue
            appended = batch.timestamp_type == batch.LOG_APPEND_TIME
            timestamp = batch.max_timestamp if appended else batch.first_timestamp + read.timestamp_delta
            yield ConsumerRecord(
                tp.topic, tp.partition, self.leader_epoch, read.offset, timestamp, batch.timestamp_type,
                read.key, read.value, list(read.headers), None, -1, -1, -1,
            )  # fmt: skip

    def _of_old_format(self, tp: TopicPartition, batch: Any) -> Iterator[Any]:
        """Read a batch as it was before version 2: one message, or a compressed one that holds several."""
        last = self.fetch_offset - 1
        try:
            for record in batch:
                self.next_fetch_offset, last = record.offset + 1, record.offset
                yield self._kept(self._record(tp, record, []))
        except (CorruptRecordError, ValueError, IndexError, NotImplementedError, OSError, EOFError, RuntimeError):
            end = max(batch.base_offset, last) + 1
            yield self._unread(last + 1, end, batch._buffer, "is malformed")

    def _record(self, tp: TopicPartition, record: Any, headers: Any) -> Any:
        return ConsumerRecord(
            tp.topic, tp.partition, self.leader_epoch, record.offset, record.timestamp, record.timestamp_type,
            record.key, record.value, headers, record.checksum, -1, -1, -1,
        )  # fmt: skip

    def _kept(self, record: Any) -> Any:
        if len(record.key or b"") + len(record.value or b"") <= KEPT_BYTES:
            return record
        key, headers = record.key and record.key[:BEGINNING_BYTES], tuple(record.headers)
        place = (record.offset, record.offset + 1, record.timestamp)
        return UnreadRecord(*place, key, *cut(record.value), TOO_LARGE, headers)

    def _unread(self, first: int, end: int, data: Any, why: str) -> UnreadRecord:
        """Return a dead letter in the place of a batch, or of the rest of one."""
        first = max(first, self.next_fetch_offset, self.fetch_offset)
        end = max(end, first + 1)
        place = f"offsets {first} to {end - 1}" if end - first > 1 else f"offset {first}"
        error = f"The client cannot decode the batch at {place}: it {why.removeprefix('it ')}"
        self.next_fetch_offset = end
        return UnreadRecord(first, end, 0, None, *cut(None if data is None else bytes(data)), error, damaged=True)


def _are_in_order(found: list[Any], base_offset: int, end: int) -> bool:
    """Tell whether each record has an offset of its own within the batch. Brokers do not check that."""
    before = base_offset - 1
    for record in found:
        if not before < record.offset < end:
            return False
        before = record.offset
    return True


def _base_offset(batch: memoryview) -> int:
    return int.from_bytes(batch[:8], "big", signed=True)


def _end(batch: Any, following: memoryview | None) -> int:
    """Return the offset after the batch; the next batch knows it better than one that may be damaged."""
    end: int = batch.base_offset + max(batch.last_offset_delta, 0) + 1
    if following is not None and len(following) >= 8:
        end = min(end, max(_base_offset(following), batch.base_offset + 1))
    return end
