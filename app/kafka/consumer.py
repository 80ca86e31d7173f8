"""The command consumer: which records are handled next, and what to do when the log and the stored offset disagree.

The truth about how far commands are handled is a row in PostgreSQL, moved with their effects. Kafka's own group only
shares the partitions out; whatever it believes, a batch commits only where the row stands at its first record, so a
zombie that wakes up late changes nothing. Decisions are here, input and output behind its
ports.
"""

import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Protocol

from app.kafka.log_check import CheckedLog, CheckedStore, GoOn, Halt, LogCheck, PartitionAway
from app.kafka.portions import Portions
from app.models.errors import (
    CommandFault,
    DatabaseBusy,
    DatabaseFails,
    DatabaseTrouble,
    OffsetMoved,
    OutcomeUnknown,
    ServiceTrouble,
)
from app.models.records import Batch, Record, UnreadRecord, after, leader_epoch
from app.services.command_trouble import Breaker, Waiting
from app.utils.alarms import Alarms

log = logging.getLogger(__name__)

DEAD_LETTERS_IN_A_ROW = 100  # so many say that a producer is broken, not a message
LOOKS_BEFORE_ALARM = 2
LOOKS_BEFORE_NEW_CLIENT = 12


class CommandLog(CheckedLog, Protocol):
    """The commands topic, as one member of the group sees it."""

    def poll(self) -> Mapping[int, Sequence[Record]]:
        """Return the next records by partition; blocks for a moment."""

    def assigned(self) -> set[int]:
        """Return the partitions that are ours at the moment."""

    def topic_id(self) -> uuid.UUID:
        """Return the id of the topic, another one once it was deleted and made anew."""

    def seek(self, partition: int, offset: int) -> None:
        """Make `offset` the next to be polled."""

    def pause(self, partition: int) -> None:
        """Poll nothing from the partition until it is sought again."""

    def commit(self, partition: int, offset: int) -> None:
        """Tell the group how far we are; for displays of lag only."""


class OffsetStore(CheckedStore, Protocol):
    """The stored offsets."""

    def keep_checkpoint(self, topic: str, partition: int) -> None:
        """Add what the stored offset stands behind to the trail, and thin the trail."""


class CommandHandler(Protocol):
    """What moves the stored offsets: the use case of this door."""

    def handle(self, batch: Batch, *, give_up: str | None = None) -> int:
        """Commit the effects of a batch and the new offset; return the number of dead letters.

        `give_up`: why its one command cannot be handled: it is answered with a failure. Raises CommandFault where
        that may be a command's own fault, OffsetMoved, and DatabaseTrouble for all else; nothing is moved then.
        """

    def rehearse(self) -> None:
        """Raise DatabaseTrouble where not even a sample of a command can be handled; commits nothing."""


class CommandConsumer:
    """Handles what the log has, partition by partition. One `step` polls once; use from one thread."""

    def __init__(
        self,
        commands: CommandLog,
        offsets: OffsetStore,
        handler: CommandHandler,
        alarms: Alarms,
        breaker: Breaker | None = None,
        identity_days: int = 30,
    ) -> None:
        """`breaker`: shared by all consumers of a process, one after the other; `identity_days`: how long a command is
        known by its bytes at the least."""
        self._log = commands
        self._offsets = offsets
        self._handler = handler
        self._alarms = alarms
        self._breaker = breaker or Breaker()
        self._waiting = Waiting(alarms)
        self._topic_id: uuid.UUID | None = None
        self._positions: dict[int, int] = {}
        self._sought: set[int] = set()  # partitions whose position was set by us since their last records
        self._halted: set[int] = set()
        self._assigned: set[int] = set()
        self._resting: dict[int, int] = {}  # partitions that cannot be looked at: how many looks so far
        self._kept: dict[int, int] = {}  # position whose checkpoint is in the trail, by partition
        self._epochs: dict[int, int] = {}  # leader epoch of the last records, by partition
        self._check = LogCheck(commands, offsets, alarms, identity_days)
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

        A person may have set the offset, or a restore of the database; a restore of the broker or an unclean election
        may have replaced the log. Raises DatabaseTrouble, StaleTopic, Kafka's errors, and PartitionAway where no
        partition could be looked at for long: then a new client may help.
        """
        if self._letters_in_a_row >= DEAD_LETTERS_IN_A_ROW:
            self._watch_letters(0, 0)  # the alarm lasts as long as nothing good came
        for partition in sorted(self._halted | self._resting.keys()):
            self._reconcile(partition)
        for partition, position in sorted(self._positions.items()):
            if self._kept.get(partition) != position:
                self._offsets.keep_checkpoint(self._log.topic, partition)
                self._kept[partition] = position
            found = self._find(partition)
            if found is not None and not (isinstance(found, GoOn) and found.offset == position and not found.changed):
                self._follow(partition, found)
        assigned = self._log.assigned()
        if assigned and all(self._resting.get(it, 0) >= LOOKS_BEFORE_NEW_CLIENT for it in assigned):
            raise PartitionAway(f"none of the partitions {sorted(assigned)} can be looked at")

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
            self._resting.clear()
            self._epochs.clear()
        assigned = self._log.assigned()
        for partition in self._assigned - assigned:
            self._positions.pop(partition, None)
            self._waiting.over(partition)
        self._assigned = assigned
        for partition in self._halted - assigned:
            self._alarms.clear(f"offset_{partition}")  # whoever has it now looks at it anew
        self._halted &= assigned
        for partition in self._resting.keys() - assigned:
            del self._resting[partition]
            self._alarms.clear(f"partition_{partition}")
        if not assigned:  # no good command can come here and end it
            self._letters_in_a_row = 0
            self._alarms.clear("dead_letters")
        for partition in sorted(assigned - set(self._positions) - self._halted - self._resting.keys()):
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
        if not self._is_next(partition, expected, records, after_seek=after_seek):
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

    def _is_next(self, partition: int, expected: int, records: Sequence[Record], *, after_seek: bool) -> bool:
        """Tell whether the records are what comes after the position, in the log that the position is of."""
        epoch = leader_epoch(records[-1])
        if epoch > self._epochs.setdefault(partition, epoch):
            self._epochs[partition] = epoch  # another leader: did it have all that was handled?
            return False
        if records[0].offset == expected:
            return True
        if not after_seek or records[0].offset < expected:
            return False
        try:
            return self._log.bounds(partition)[0] <= expected  # else retention took commands since the seek
        except PartitionAway:
            return False

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
        self._handler.rehearse()
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
            letters = self._handler.handle(batch, give_up=give_up)
        except DatabaseFails:
            raise
        except (DatabaseBusy, OutcomeUnknown):  # too much for the time that a transaction has, perhaps
            self._portions.failed(batch.partition, len(batch.records))
            raise
        self._portions.worked(batch.partition)
        self._positions[batch.partition] = batch.next_offset
        self._waiting.over(batch.partition)
        self._log.commit(batch.partition, batch.next_offset)
        self._watch_letters(letters, len(batch.records))
        self._tell_of_damage(batch)
        if give_up is not None:
            self._breaker.given_up()
        elif letters < len(batch.records):
            self._breaker.handled()

    def _tell_of_damage(self, batch: Batch) -> None:
        for record in batch.records:
            if isinstance(record, UnreadRecord) and record.damaged:
                name = f"record_unread_{batch.partition}_{record.offset}"
                self._alarms.happened(name, f"Partition {batch.partition} of {batch.topic}: {record.error}")

    def _watch_letters(self, letters: int, records: int) -> None:
        self._letters_in_a_row = self._letters_in_a_row + letters if letters == records else 0
        if self._letters_in_a_row >= DEAD_LETTERS_IN_A_ROW:
            self._alarms.ring("dead_letters", f"Over {DEAD_LETTERS_IN_A_ROW} unreadable commands in a row")
        elif letters < records:
            self._alarms.clear("dead_letters")

    def _reconcile(self, partition: int) -> None:
        found = self._find(partition)
        if found is not None:
            self._follow(partition, found)

    def _find(self, partition: int) -> GoOn | Halt | None:
        """Return where the partition goes on; None where it cannot be looked at: then it rests alone."""
        assert self._topic_id is not None
        try:
            found = self._check.find(partition, self._topic_id)
        except PartitionAway as away:
            self._rest(partition, away)
            return None
        if self._resting.pop(partition, None) is not None:
            self._alarms.clear(f"partition_{partition}")
        return found

    def _follow(self, partition: int, found: GoOn | Halt) -> None:
        if isinstance(found, Halt):
            self._positions.pop(partition, None)
            self._halted.add(partition)
            self._log.pause(partition)
            self._alarms.ring(f"offset_{partition}", found.alarm)
            return
        if partition in self._halted:
            self._halted.discard(partition)
            self._alarms.clear(f"offset_{partition}")
        self._seek(partition, found.offset)

    def _rest(self, partition: int, away: PartitionAway) -> None:
        """Leave the partition alone until it can be looked at; the others go on."""
        self._positions.pop(partition, None)
        self._halted.discard(partition)
        self._log.pause(partition)
        looks = self._resting[partition] = self._resting.get(partition, 0) + 1
        if looks >= LOOKS_BEFORE_ALARM:
            sentence = f"Partition {partition} of {self._log.topic} cannot be read, its commands wait: {away}"
            self._alarms.ring(f"partition_{partition}", sentence)

    def _seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset
        self._sought.add(partition)
        self._log.seek(partition, offset)
