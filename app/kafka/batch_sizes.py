"""How many of the records that were polled become one transaction."""

from collections.abc import Iterator, Sequence

from app.models.records import Record

BATCH_BYTES = 2 * 1024 * 1024  # a statement needs several times the memory of the data it writes
MOST_RECORDS = 1000  # in a batch, also where CONSUMER_BATCH is larger


class BatchSizes:
    """Splits records into batches, and into smaller ones where a transaction took too long."""

    def __init__(self) -> None:
        self._most: dict[int, int] = {}  # records in a batch, by partition

    def split(self, partition: int, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        """Yield batches of at least one record, at most BATCH_BYTES and MOST_RECORDS, and no more than worked last."""
        begin, size = 0, 0
        for place, record in enumerate(records):
            record_bytes = len(record.key or b"") + len(record.value or b"")
            size += record_bytes
            if place > begin and (size > BATCH_BYTES or place - begin >= self._most.get(partition, MOST_RECORDS)):
                yield records[begin:place]
                begin, size = place, record_bytes
        yield records[begin:]

    def failed(self, partition: int, records: int) -> None:
        """Halve: so many may have been too many for the time that a transaction has."""
        self._most[partition] = max(records // 2, 1)

    def worked(self, partition: int) -> None:
        """Allow twice as many again."""
        if partition in self._most:
            self._most[partition] *= 2
            if self._most[partition] >= MOST_RECORDS:
                del self._most[partition]
