"""Small scripted fakes of the relay's two ports: the rows of a lane, and a topic of one partition."""

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from app.services.relay import LeadLost, Outgoing, Position, Positions

TOPIC = uuid.UUID(int=1)
NEW_TOPIC = uuid.UUID(int=2)


def a_row(number: int) -> Outgoing:
    return Outgoing(number, uuid.UUID(int=number), b"key", b"{}", ())


@dataclass
class ScriptedTopic:
    """What is in the log, and what goes wrong: `refuse` raises before a record, `after` when all were sent."""

    log: list[uuid.UUID] = field(default_factory=list)
    id: uuid.UUID = TOPIC
    refuse: dict[int, Exception] = field(default_factory=dict)
    after: Exception | None = None
    on_send: Callable[[], None] = lambda: None
    reads: list[tuple[int, int]] = field(default_factory=list)

    def ends(self) -> Positions:
        return {0: Position(self.id, len(self.log))}

    def event_ids(self, start: Positions, end: Positions) -> Iterable[Collection[uuid.UUID]]:
        self.reads.append((start[0].next_offset, end[0].next_offset))
        for place in range(start[0].next_offset, end[0].next_offset, 2):
            yield self.log[place : min(place + 2, end[0].next_offset)]

    def send(self, records: Sequence[Outgoing], check: Callable[[], None], hold: Callable[[], None]) -> Positions:
        for record in records:
            check()
            if record.id in self.refuse:
                raise self.refuse[record.id]
            self.log.append(record.event_id)
        hold()
        self.on_send()
        if self.after is not None:
            raise self.after
        return self.ends()


@dataclass
class ScriptedLead:
    """The rows. `lease`: how many checks pass before the lead is lost; `dies_in_confirm`: the crash before it."""

    rows: list[Outgoing]
    stored: dict[int, Position] = field(default_factory=dict)
    limit: int = 10
    lease: int = 1_000
    dies_in_confirm: bool = False
    holds: int = 0

    def next_batch(self) -> Sequence[Outgoing]:
        return self.rows[: self.limit]

    def confirm(self, ids: Collection[int], positions: Positions) -> None:
        if self.dies_in_confirm:
            raise LeadLost("killed")
        self.rows = [row for row in self.rows if row.id not in ids]
        self.move(positions)

    def forget(self, event_ids: Collection[uuid.UUID]) -> int:
        before = len(self.rows)
        self.rows = [row for row in self.rows if row.event_id not in event_ids]
        return before - len(self.rows)

    def positions(self) -> Positions:
        return dict(self.stored)

    def move(self, positions: Positions) -> None:
        self.stored |= positions

    def hold(self) -> None:
        self.holds += 1

    def check(self) -> None:
        self.lease -= 1
        if self.lease < 0:
            raise LeadLost("the lease ran out")
