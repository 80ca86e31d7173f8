"""Small scripted fakes of the relay's two ports: the rows of a lane, and a topic of some partitions.

A row's key is its number in decimal; its partition is that number modulo the topic's.
"""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from app.models.outgoing import LeaseLost, LogEnd, Outgoing, Portion, Positions, Sent
from app.models.records import LogPosition

TOPIC = uuid.UUID(int=1)
NEW_TOPIC = uuid.UUID(int=2)
ASIDE = 1000


def a_row(number: int) -> Outgoing:
    return Outgoing(number, uuid.UUID(int=number), b"%d" % number, b"{}", ())


def number_of(record: Outgoing) -> int:
    return int(record.key or b"")


class Clock:
    """Time that passes by itself, a little with each look at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


@dataclass
class ScriptedTopic:
    """What is in the logs, and what goes wrong.

    `refuse` raises before a record, `after` when all were sent. `off`: why partitions do not tell their end.
    `unseen`: how many records at the end cannot be read yet. `silent`: partitions that acknowledge nothing.
    """

    logs: dict[int, list[uuid.UUID]] = field(default_factory=lambda: {0: []})
    topic_id: uuid.UUID = TOPIC
    refuse: dict[int, Exception] = field(default_factory=dict)
    after: Exception | None = None
    on_send: Callable[[], None] = lambda: None
    off: dict[int, str] = field(default_factory=dict)
    unseen: dict[int, int] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    leaders: dict[int, int] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    gone: Exception | None = None
    reads: list[tuple[int, int]] = field(default_factory=list)
    closed: int = 0
    owed: list[tuple[int, Outgoing]] = field(default_factory=list)

    @property
    def log(self) -> list[uuid.UUID]:
        return self.logs[0]

    def partition(self, record: Outgoing, count: int) -> int:
        return number_of(record) % count

    def epochs(self) -> Mapping[int, int]:
        if self.gone is not None:
            raise self.gone
        return {partition: self.leaders.get(partition, 0) for partition in self.logs}

    def leader_ends(self, partitions: Collection[int]) -> Mapping[int, LogEnd | str]:
        return {partition: self.off.get(partition) or self._end(partition) for partition in partitions}

    def _end(self, partition: int) -> LogEnd:
        place = LogPosition(self.topic_id, len(self.logs[partition]))
        return LogEnd(place, self.leaders.get(partition, 0), self.clock())

    def read(self, places: Mapping[int, int]) -> Mapping[int, Portion]:
        found = {}
        for partition, place in places.items():
            end = len(self.logs[partition]) - self.unseen.get(partition, 0)
            if place < end:
                self.reads.append((partition, place))
                found[partition] = Portion(self.logs[partition][place : min(place + 2, end)], min(place + 2, end))
        return found

    def done_reading(self) -> None:
        self.closed += 1

    def send(
        self, records: Sequence[tuple[int, Outgoing]], require_valid: Callable[[], None], renew: Callable[[], None]
    ) -> Sent:
        for partition, record in records:
            require_valid()
            if number_of(record) in self.refuse:
                raise self.refuse[number_of(record)]
            self.logs[partition].append(record.event_id)
        renew()
        self.on_send()
        if self.after is not None:
            raise self.after
        self.owed += records
        return self.late()

    def late(self) -> Sent:
        owed, self.owed = self.owed, [it for it in self.owed if it[0] in self.silent]
        done = [it for it in owed if it[0] not in self.silent]
        late: dict[int, list[Outgoing]] = {partition: [] for partition, _ in owed}
        for partition, record in self.owed:
            late[partition].append(record)
        positions = {partition: LogPosition(self.topic_id, len(self.logs[partition])) for partition, _ in done}
        begins = {partition: min(self._place(it) for it in done if it[0] == partition) for partition, _ in done}
        return Sent([record for _, record in done], positions, late, begins)

    def _place(self, sent: tuple[int, Outgoing]) -> int:
        partition, record = sent
        return len(self.logs[partition]) - 1 - self.logs[partition][::-1].index(record.event_id)


@dataclass
class ScriptedLease:
    """The rows. `lease`: how many checks pass before it is lost; `dies_in_confirm`: the crash before it."""

    rows: list[Outgoing]
    stored: dict[int, LogPosition] = field(default_factory=dict)
    limit: int = 10
    lease: int = 1_000
    leaves_out: bool = False
    refused: list[uuid.UUID] = field(default_factory=list)
    dies_in_confirm: bool = False
    renewals: int = 0
    noted: set[uuid.UUID] = field(default_factory=set)
    waiting: dict[int, list[Outgoing]] = field(default_factory=dict)

    def next_batch(self) -> Sequence[Outgoing]:
        return self.rows[: self.limit]

    def set_aside(self, partition: int, ids: Collection[int]) -> Mapping[int, int]:
        moved = [row for row in self.rows if row.id in ids]
        self.rows = [row for row in self.rows if row.id not in ids]
        new = {row.id: row.id - ASIDE for row in moved}
        self.waiting.setdefault(partition, []).extend(
            Outgoing(new[row.id], row.event_id, row.key, row.value, row.headers) for row in moved
        )
        return new

    def aside(self, partition: int) -> Sequence[Outgoing]:
        return self.waiting.get(partition, [])[: self.limit]

    def known(self, event_ids: Collection[uuid.UUID]) -> Collection[uuid.UUID]:
        return self.noted & set(event_ids)

    def confirm_sent(self, ids: Collection[int], positions: Positions) -> None:
        if self.dies_in_confirm:
            raise LeaseLost("killed")
        self.rows = [row for row in self.rows if row.id not in ids]
        self.waiting = {it: [row for row in rows if row.id not in ids] for it, rows in self.waiting.items()}
        self.store_positions(positions)

    def note(self, event_ids: Collection[uuid.UUID], positions: Positions) -> None:
        self.noted |= set(event_ids)
        self.store_positions(positions)

    def positions(self) -> Positions:
        return dict(self.stored)

    def store_positions(self, positions: Positions) -> None:
        self.stored |= positions

    def leave_out(self, event_id: uuid.UUID, refusal: str) -> bool:
        self.refused.append(event_id)
        if self.leaves_out:
            self.rows = [row for row in self.rows if row.event_id != event_id]
        return self.leaves_out

    def renew(self) -> None:
        self.renewals += 1

    def require_valid(self) -> None:
        self.lease -= 1
        if self.lease < 0:
            raise LeaseLost("the lease ran out")
