"""The command consumer: which records are handled next, and what to do when the log and the stored offset disagree.

The truth about how far commands are handled is a row in PostgreSQL, moved with their effects. Kafka's own group only
shares the partitions out; whatever it believes, a batch commits only where the row stands at its first record, so a
zombie that wakes up late changes nothing. Decisions are here, input and output behind CommandLog and CommandStore.
"""

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.models.database import DatabaseBusy, DatabaseTrouble, OutcomeUnknown
from app.services.alarms import Alarms
from app.services.command_batch import Batch, OffsetMoved
from app.services.command_trouble import Breaker, CommandFault, ServiceTrouble, Waiting
from app.services.portions import Portions
from app.services.records import Record, after

log = logging.getLogger(__name__)

DEAD_LETTERS_IN_A_ROW = 100  # so many say that a producer is broken, not a message


@dataclass(frozen=True, slots=True)
class StoredOffset:
    """The row of one partition."""

    topic_id: uuid.UUID
    next_offset: int


class CommandLog(Protocol):
    """The commands topic, as one member of the group sees it."""

    topic: str

    def poll(self) -> Mapping[int, Sequence[Record]]:
        """Return the next records by partition; blocks for a moment."""

    def assigned(self) -> set[int]:
        """Return the partitions that are ours at the moment."""

    def topic_id(self) -> uuid.UUID:
        """Return the id of the topic, another one once it was deleted and made anew."""

    def ask_topic_id(self) -> uuid.UUID:
        """Return the topic's id as the broker has it now."""

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset in the log and the one after the last."""

    def known_end(self, partition: int) -> int | None:
        """Return the offset after the last as the last answer had it, None before the first; asks nobody."""

    def committed(self, partition: int) -> int | None:
        """Return the group's committed offset."""

    def seek(self, partition: int, offset: int) -> None:
        """Make `offset` the next to be polled."""

    def pause(self, partition: int) -> None:
        """Poll nothing from the partition until it is sought again."""

    def commit(self, partition: int, offset: int) -> None:
        """Tell the group how far we are; for displays of lag only."""


class StaleTopic(Exception):
    """What this client knows of the topic is older than what is stored: build a new one."""


class CommandStore(Protocol):
    """The stored offsets, and what moves them."""

    def offset(self, topic: str, partition: int) -> StoredOffset | None:
        """Return the stored offset."""

    def first_offset(self, topic: str, partition: int, offset: StoredOffset) -> None:
        """Store the offset where there is none yet."""

    def reset_offset(self, topic: str, partition: int, old: StoredOffset, new: StoredOffset) -> None:
        """Replace the stored offset if it is still `old`."""

    def handle(self, batch: Batch, *, give_up: str | None = None) -> int:
        """Commit the effects of a batch and the new offset; return the number of dead letters.

        `give_up`: why its one command cannot be handled: it is answered with a failure. Raises CommandFault where
        that may be a command's own fault, OffsetMoved, and DatabaseTrouble for all else; nothing is moved then.
        """

    def rehearse(self) -> None:
        """Raise DatabaseTrouble where not even a sample of a command can be handled; commits nothing."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """Go on at `offset`; `alarm` tells what a person should know, `changed` that the row must follow."""

    offset: int
    alarm: str | None = None
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Halt:
    """Handle nothing of this partition until a person has decided."""

    alarm: str


def where_to_go_on(stored: StoredOffset, topic_id: uuid.UUID, begin: int, end: int) -> GoOn | Halt:
    """Hold the stored offset against the log: the four ways in which the two can disagree, and agreement."""
    if stored.topic_id != topic_id:
        return GoOn(begin, "The topic was made anew; handling it from its beginning", changed=True)
    if end < stored.next_offset:
        return Halt(f"The log ends at {end}, before the stored offset {stored.next_offset}")
    if begin > stored.next_offset:
        lost = f"The log begins at {begin}: the commands from {stored.next_offset} on were deleted unhandled"
        return GoOn(begin, lost, changed=True)
    return GoOn(stored.next_offset)


class CommandConsumer:
    """Handles what the log has, partition by partition. One `step` polls once; use from one thread."""

    def __init__(
        self, commands: CommandLog, store: CommandStore, alarms: Alarms, breaker: Breaker | None = None
    ) -> None:
        """`breaker`: shared by all consumers of a process, one after the other."""
        self._log = commands
        self._store = store
        self._alarms = alarms
        self._breaker = breaker or Breaker()
        self._waiting = Waiting(alarms)
        self._topic_id: uuid.UUID | None = None
        self._positions: dict[int, int] = {}
        self._sought: set[int] = set()  # partitions whose position was set by us since their last records
        self._halted: set[int] = set()
        self._assigned: set[int] = set()
        self._failures: dict[int, int] = {}  # expected offset of batches that failed once, by partition
        self._portions = Portions()
        self._letters_in_a_row = 0

    def step(self) -> bool:
        """Poll once and handle what came; tell whether anything did.

        Raises DatabaseTrouble (nothing is lost), StaleTopic and Kafka's errors.
        """
        polled = {partition: records for partition, records in self._log.poll().items() if records}
        after_seek = self._sought & polled.keys()
        self._sought -= after_seek
        self._follow_assignment()
        trouble = None
        for partition, records in polled.items():
            if partition not in self._sought:  # else it was sought meanwhile: these come from another place
                try:
                    self._take(partition, records, after_seek=partition in after_seek)
                except DatabaseTrouble as error:  # others go on: it may be one order's row that cannot be read
                    self._positions.pop(partition, None)  # what was not handled comes again from the stored offset
                    self._waiting.waits(partition, error)
                    trouble = trouble or error
        if trouble is not None:
            raise trouble
        return bool(polled)

    def look_again(self) -> None:
        """Hold every partition against its stored offset and the log again.

        A person may have set the offset, or a restore of the database; a restore of the broker may have cut the log,
        and its client goes to the cut without a word. Raises DatabaseTrouble, StaleTopic and Kafka's errors.
        """
        if self._letters_in_a_row >= DEAD_LETTERS_IN_A_ROW:
            self._watch_letters(0, 0)  # the alarm lasts as long as nothing good came
        for partition in sorted(self._halted):
            self._reconcile(partition)
        for partition, position in sorted(self._positions.items()):
            stored = self._store.offset(self._log.topic, partition)
            end = self._log.known_end(partition)
            if stored is None or stored.next_offset != position or (end is not None and end < position):
                self._reconcile(partition)

    @property
    def positions(self) -> Mapping[int, int]:
        """The next offset to handle, by partition of ours."""
        return self._positions

    def _follow_assignment(self) -> None:
        topic_id = self._log.topic_id()
        if topic_id != self._topic_id:
            self._topic_id = topic_id
            self._positions.clear()
            self._halted.clear()
        assigned = self._log.assigned()
        for partition in self._assigned - assigned:
            self._positions.pop(partition, None)
            self._waiting.over(partition)
        self._assigned = assigned
        for partition in self._halted - assigned:
            self._alarms.clear(f"offset_{partition}")  # whoever has it now looks at it anew
        self._halted &= assigned
        if not assigned:  # no good command can come here and end it
            self._letters_in_a_row = 0
            self._alarms.clear("dead_letters")
        for partition in sorted(assigned - set(self._positions) - self._halted):
            try:
                self._reconcile(partition)
            except DatabaseTrouble as error:
                self._waiting.waits(partition, error, looking_up=True)
                self._positions.clear()  # what was polled and not handled comes again from the stored offsets
                raise
            self._waiting.looked_up(partition)

    def _take(self, partition: int, records: Sequence[Record], *, after_seek: bool) -> None:
        expected = self._positions.get(partition)
        if expected is None:
            return  # halted, or no longer ours
        first = records[0].offset
        gap_in_log = after_seek and first > expected
        if first != expected and not gap_in_log:
            self._reconcile(partition)
            return
        try:
            for portion in self._portions.cut(partition, records):
                self._handle(partition, expected, portion)
                expected = after(portion[-1])
                if self._positions.get(partition) != expected:
                    return  # it failed, and comes again
        except OffsetMoved:
            log.warning("partition %s was handled up to elsewhere by another instance", partition)
            self._reconcile(partition)

    def _handle(self, partition: int, expected: int, records: Sequence[Record]) -> None:
        """Commit the records together; where one of them fails twice one by one, to find it."""
        try:
            self._commit(self._batch(partition, expected, records))
            return
        except CommandFault:
            if self._failures.get(partition) != expected:
                self._failures[partition] = expected
                self._seek(partition, expected)
                return
        for record in records:
            batch = self._batch(partition, expected, [record])
            try:
                self._commit(batch)
            except CommandFault as fault:
                self._give_up(batch, str(fault))
            expected = batch.next_offset

    def _give_up(self, batch: Batch, reason: str) -> None:
        """Answer the one command of the batch with a failure, where it is proved that others can be handled."""
        self._breaker.check()
        self._store.rehearse()
        try:
            self._commit(batch, give_up=reason)
        except CommandFault as fault:
            raise ServiceTrouble(f"A command cannot even be given up: {fault}") from fault
        place = f"{batch.partition}/{batch.expected}"
        sentence = f"Command {place} was given up and answered with a failure: {reason}"
        self._alarms.happened(f"command_given_up_{batch.partition}_{batch.expected}", sentence)

    def _batch(self, partition: int, expected: int, records: Sequence[Record]) -> Batch:
        assert self._topic_id is not None
        return Batch(self._log.topic, self._topic_id, partition, expected, after(records[-1]), records)

    def _commit(self, batch: Batch, *, give_up: str | None = None) -> None:
        try:
            letters = self._store.handle(batch, give_up=give_up)
        except (DatabaseBusy, OutcomeUnknown):  # too much for the time that a transaction has, perhaps
            self._portions.failed(batch.partition, len(batch.records))
            raise
        self._portions.worked(batch.partition)
        self._positions[batch.partition] = batch.next_offset
        self._waiting.over(batch.partition)
        self._log.commit(batch.partition, batch.next_offset)
        self._watch_letters(letters, len(batch.records))
        if give_up is not None:
            self._breaker.given_up()
        elif letters < len(batch.records):
            self._breaker.handled()

    def _watch_letters(self, letters: int, records: int) -> None:
        self._letters_in_a_row = self._letters_in_a_row + letters if letters == records else 0
        if self._letters_in_a_row >= DEAD_LETTERS_IN_A_ROW:
            self._alarms.ring("dead_letters", f"Over {DEAD_LETTERS_IN_A_ROW} unreadable commands in a row")
        elif letters < records:
            self._alarms.clear("dead_letters")

    def _reconcile(self, partition: int) -> None:
        assert self._topic_id is not None
        stored = self._store.offset(self._log.topic, partition) or self._first_offset(partition, self._topic_id)
        if stored.topic_id != self._topic_id and self._log.ask_topic_id() != self._topic_id:
            raise StaleTopic(f"partition {partition} is stored with a newer topic than this client knows")
        begin, end = self._log.bounds(partition)  # asked for last: nobody can be beyond an end that is younger
        found = where_to_go_on(stored, self._topic_id, begin, end)
        if isinstance(found, Halt):
            self._positions.pop(partition, None)
            self._halted.add(partition)
            self._log.pause(partition)
            self._alarms.ring(f"offset_{partition}", found.alarm)
            return
        if found.changed:
            new = StoredOffset(self._topic_id, found.offset)
            self._store.reset_offset(self._log.topic, partition, stored, new)
        if found.alarm is not None:
            self._alarms.ring(f"offset_{partition}", found.alarm)
        elif partition in self._halted:
            self._alarms.clear(f"offset_{partition}")
        self._halted.discard(partition)
        self._seek(partition, found.offset)

    def _first_offset(self, partition: int, topic_id: uuid.UUID) -> StoredOffset:
        committed = self._log.committed(partition)
        start = StoredOffset(topic_id, self._log.bounds(partition)[0] if committed is None else committed)
        self._store.first_offset(self._log.topic, partition, start)
        return self._store.offset(self._log.topic, partition) or start

    def _seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset
        self._sought.add(partition)
        self._log.seek(partition, offset)
