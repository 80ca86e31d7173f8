"""The events that a round puts on a topic: waited for, read, each there once."""

import time
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from tests.benchmarks.check import require
from tests.harness.waiting import until

PARTITIONS = 3
LOOK_SECONDS = 0.1
ARRIVE_SECONDS = 120.0
READ_SECONDS = 60.0


class Tail:
    """What is new at the end of a topic, whose records carry the broker's time; not thread safe."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self._places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        self._reader = KafkaConsumer(
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=5000,
            max_partition_fetch_bytes=8 * 2**20,
            metrics_enabled=False,
        )
        self._reader.assign(self._places)
        self._reader.seek_to_beginning(*self._places)
        self._taken = 0
        self._seen: set[str] = set()

    def count(self) -> int:
        """Return how many records are there that were not taken yet."""
        return int(sum(self._reader.end_offsets(self._places).values())) - self._taken

    def await_count(self, count: int, seconds: float = ARRIVE_SECONDS) -> None:
        """Block until so many new records are there. Raises TimeoutError."""

        def there() -> bool:
            arrived = self.count() >= count
            time.sleep(0 if arrived else LOOK_SECONDS)  # the looking itself must not be what the broker is busy with
            return arrived

        until(there, f"{count} records on {self.topic}", seconds)

    def take(self, count: int) -> list[Any]:
        """Return the new records. Raises Wrong unless there are just so many, each with an event id of its own."""
        left = self.count()
        records: list[Any] = []
        give_up = time.monotonic() + READ_SECONDS
        while len(records) < left and time.monotonic() < give_up:
            records += [it for polled in self._reader.poll(timeout_ms=200).values() for it in polled]
        self._taken += len(records)
        before = len(self._seen)
        self._seen |= {dict(record.headers)["event_id"] for record in records}
        require(len(records) == count, f"{len(records)} events on {self.topic} for {count} changes")
        require(len(self._seen) == before + count, f"event ids are on {self.topic} twice")
        return records

    def require_end(self) -> None:
        """Raise Wrong where records came after all were taken."""
        require(self.count() == 0, f"{self.count()} events too many on {self.topic}")

    def close(self) -> None:
        """Close the consumer."""
        self._reader.close()


def appended(records: list[Any]) -> tuple[float, float]:
    """Return when the broker appended the first and the last record, in seconds since 1970 (whole milliseconds)."""
    times = [record.timestamp / 1000 for record in records]
    return min(times), max(times)
