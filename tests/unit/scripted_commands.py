"""Small scripted fakes of the consumer's ports. The log keeps positions as Kafka's client does."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.kafka.command_ports import PartitionAway
from app.models.errors import CommandFault, DatabaseAway, DatabaseBusy, OffsetMoved, OutcomeUnknown, ServiceTrouble
from app.models.records import Batch, Checkpoint, Headers, Record, StoredOffset

TOPIC = uuid.UUID(int=1)
OTHER_TOPIC = uuid.UUID(int=2)


@dataclass
class Sent:
    offset: int
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = b"{}"
    leader_epoch: int = -1
    headers: Headers = ()


@dataclass
class ScriptedLog:
    """Records by partition; `begins` where a log does not begin at 0, `group` what the group committed."""

    records: dict[int, list[int]]
    begins: dict[int, int] = field(default_factory=dict)
    group: dict[int, int] = field(default_factory=dict)
    limit: int = 100
    id: uuid.UUID = TOPIC
    newest_id: uuid.UUID | None = None
    topic: str = "order_commands"
    paused: set[int] = field(default_factory=set)
    seeks: list[tuple[int, int]] = field(default_factory=list)
    copy: int = 0  # another one has other records at the same offsets: their timestamp is this
    copies: dict[tuple[int, int], int] = field(default_factory=dict)
    epoch: int = -1
    away: set[int] = field(default_factory=set)
    compact: bool = False
    _positions: dict[int, int] = field(default_factory=dict)

    def replace(self, partition: int, parts: int, offsets: list[int], copy: int = 1) -> None:
        """The log as an older copy had it up to `parts`, and other records from there on."""
        self.records[partition] = [offset for offset in self.records[partition] if offset < parts] + offsets
        for offset in offsets:
            self.copies[partition, offset] = copy

    def sent(self, partition: int, offset: int) -> Sent:
        return Sent(offset, self.copies.get((partition, offset), 0), leader_epoch=self.epoch)

    def checkpoint_at(self, partition: int, offset: int) -> Checkpoint | None:
        self._look(partition)
        return Checkpoint.of(self.sent(partition, offset)) if offset in self.records[partition] else None

    def first_since(self, partition: int, timestamp: int) -> int | None:
        self._look(partition)
        return self.bounds(partition)[0]

    def compacted(self) -> bool:
        return self.compact

    def _look(self, partition: int) -> None:
        if partition in self.away:
            raise PartitionAway("no leader")

    def assign(self, *partitions: int) -> None:
        """A rebalance: what is new begins at the group's offset; nothing stays paused."""
        self.paused.clear()
        self._positions = {
            partition: self.group.get(partition, self.begins.get(partition, 0)) for partition in partitions
        }

    def poll(self) -> Mapping[int, Sequence[Record]]:
        polled: dict[int, Sequence[Record]] = {}
        for partition in sorted(set(self._positions) - self.paused):
            position = self._positions[partition]
            offsets = [offset for offset in self.records[partition] if offset >= position][: self.limit]
            if offsets:
                self._positions[partition] = offsets[-1] + 1
                polled[partition] = [self.sent(partition, offset) for offset in offsets]
        return polled

    def assigned(self) -> set[int]:
        return set(self._positions)

    def topic_id(self) -> uuid.UUID:
        return self.id

    def ask_topic_id(self) -> uuid.UUID:
        return self.newest_id or self.id

    def bounds(self, partition: int) -> tuple[int, int]:
        self._look(partition)
        begin = self.begins.get(partition, 0)
        return begin, max([offset + 1 for offset in self.records[partition]], default=begin)

    def committed(self, partition: int) -> int | None:
        return self.group.get(partition)

    def seek(self, partition: int, offset: int) -> None:
        self.seeks.append((partition, offset))
        self.paused.discard(partition)
        self._positions[partition] = offset

    def pause(self, partition: int) -> None:
        self.paused.add(partition)

    def commit(self, partition: int, offset: int) -> None:
        self.group[partition] = offset


@dataclass
class ScriptedStore:
    """What PostgreSQL would hold. `bugs`, `letters`: offsets that cannot be handled, or are dead letters; `unfit`: no
    command can be, and it looks like a fault of each; `most`: records of a batch that takes no longer than it may.
    """

    offsets: dict[int, StoredOffset] = field(default_factory=dict)
    handled: list[tuple[int, int]] = field(default_factory=list)
    given_up: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    bugs: set[int] = field(default_factory=set)
    letters: set[int] = field(default_factory=set)
    unfit: bool = False
    most: int = 1000
    worked: list[int] = field(default_factory=list)
    away_for_batches: set[int] = field(default_factory=set)
    trails: dict[int, list[Checkpoint]] = field(default_factory=dict)
    away: bool = False
    away_for: set[int] = field(default_factory=set)

    def offset(self, topic: str, partition: int) -> StoredOffset | None:
        self._answer(partition)
        return self.offsets.get(partition)

    def store_first_offset(self, topic: str, partition: int, offset: StoredOffset) -> None:
        self._answer(partition)
        self.offsets.setdefault(partition, offset)

    def reset_offset(self, topic: str, partition: int, old: StoredOffset, new: StoredOffset) -> None:
        self._answer(partition)
        if self.offsets[partition] == old:
            self.offsets[partition] = new
            self.trails[partition] = self._below(partition, new.next_offset)

    def trail(self, topic: str, partition: int, below: int) -> Sequence[Checkpoint]:
        self._answer(partition)
        return self._below(partition, below)

    def keep_checkpoint(self, topic: str, partition: int) -> None:
        self._answer(partition)
        last_handled = self.offsets[partition].last_handled
        if last_handled is not None:
            others = [kept for kept in self.trails.get(partition, []) if kept.offset != last_handled.offset]
            self.trails[partition] = sorted([*others, last_handled], key=lambda kept: -kept.offset)

    def handle(self, batch: Batch, *, give_up: str | None = None) -> int:
        self._answer(batch.partition)
        stored = self.offsets[batch.partition]
        if (stored.topic_id, stored.next_offset) != (batch.topic_id, batch.expected):
            raise OffsetMoved
        offsets = [record.offset for record in batch.records]
        self.sizes.append(len(offsets))
        if batch.partition in self.away_for_batches:
            raise DatabaseBusy("the disk is full")
        if len(offsets) > self.most:
            raise OutcomeUnknown("it took too long")
        if (self.unfit or self.bugs & set(offsets)) and give_up is None:
            raise CommandFault("a bug")
        self.worked.append(len(offsets))
        self.given_up += offsets if give_up else []
        self.handled += [(batch.partition, offset) for offset in offsets]
        last_handled = Checkpoint.of(batch.records[-1])
        self.offsets[batch.partition] = StoredOffset(batch.topic_id, batch.next_offset, last_handled, stored.take_over)
        return len(self.letters & set(offsets))

    def rehearse(self) -> None:
        if self.unfit:
            raise ServiceTrouble("a sample cannot be handled either")

    def _below(self, partition: int, offset: int) -> list[Checkpoint]:
        return [kept for kept in self.trails.get(partition, []) if kept.offset < offset]

    def _answer(self, partition: int) -> None:
        if self.away or partition in self.away_for:
            raise DatabaseAway("the database is away")
