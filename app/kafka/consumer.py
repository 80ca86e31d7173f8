"""The command consumer: which records are handled next, and what to do when the log and the stored offset disagree.

How far commands are handled is a row in PostgreSQL, moved together with their effects. Kafka's own group only shares
out the partitions. The row protects against a consumer that was frozen and wakes up late: a batch commits only if the
row stands at the batch's first record. Decisions are here; input and output are behind the ports of command_ports.
"""

import logging
import uuid
from collections.abc import Sequence

from app.kafka.batch_sizes import BatchSizes
from app.kafka.command_ports import CommandHandler, CommandLog, OffsetStore, PartitionAway
from app.kafka.command_trouble import Breaker, DeadLetterAlarm, WaitingCommands
from app.kafka.log_check import GoOn, Halt, LogCheck
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
from app.utils.alarms import Alarms

log = logging.getLogger(__name__)

LOOKS_BEFORE_ALARM = 2
LOOKS_BEFORE_NEW_CLIENT = 12


class CommandConsumer:
    """Handles what the log has, partition by partition. One `step` polls once; use from one thread."""

    def __init__(
        self,
        commands: CommandLog,
        offsets: OffsetStore,
        handler: CommandHandler,
        alarms: Alarms,
        breaker: Breaker,
        identity_days: int,
    ) -> None:
        """`breaker`: shared by all consumers of a process, one after the other; `identity_days`: a command is known by
        its bytes for so long at least."""
        self._log = commands
        self._offsets = offsets
        self._handler = handler
        self._alarms = alarms
        self._breaker = breaker
        self._waiting = WaitingCommands(alarms)
        self._dead_letters = DeadLetterAlarm(alarms)
        self._check = LogCheck(commands, offsets, alarms, identity_days)
        self._sizes = BatchSizes()
        self._topic_id: uuid.UUID | None = None
        self._assigned: set[int] = set()
        self._positions: dict[int, int] = {}  # the next offset to handle, by partition
        self._sought: set[int] = set()  # partitions that were sought since their last records
        self._halted: set[int] = set()  # partitions that wait for a person
        self._resting: dict[int, int] = {}  # partitions that cannot be looked at: how many looks so far
        self._kept: dict[int, int] = {}  # position whose checkpoint is in the trail, by partition
        self._epochs: dict[int, int] = {}  # leader epoch of the last records, by partition
        self._failures: dict[int, int] = {}  # first offset of a batch that failed once, by partition

    def step(self) -> bool:
        """Poll once and handle the records; tell whether any came. Blocks for a poll and a transaction a batch.

        Raises DatabaseTrouble (nothing is lost), StaleTopic and Kafka's errors.
        """
        polled = {partition: records for partition, records in self._log.poll().items() if records}
        after_seek = self._sought & polled.keys()
        self._sought -= after_seek
        self._follow_assignment()
        trouble = None
        for partition, records in polled.items():
            if partition not in self._sought:  # else a seek came between: these records are from another place
                try:
                    self._handle_polled(partition, records, after_seek=partition in after_seek)
                except DatabaseTrouble as error:  # the other partitions go on: perhaps one order's row cannot be read
                    self._positions.pop(partition, None)  # records not handled come again from the stored offset
                    self._waiting.waits(partition, error)
                    trouble = trouble or error
        if trouble is not None:
            raise trouble
        return bool(polled)

    def recheck_offsets(self, *, broker_answers: bool = True) -> None:
        """Compare every partition's position with its stored offset and with the log.

        A person or a restore of the database may have set the offset; a restore of the broker or an unclean election
        may have replaced the log. Blocks for seconds a partition. Raises DatabaseTrouble, StaleTopic, Kafka's errors,
        and PartitionAway if no partition could be looked at for long: a new client may help then. Where no broker
        answers, nothing is looked at, and the looks that failed before are explained.
        """
        self._dead_letters.renew()
        if not broker_answers:
            self._resting = dict.fromkeys(self._resting, 0)
            return
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
        if assigned and all(self._resting.get(partition, 0) >= LOOKS_BEFORE_NEW_CLIENT for partition in assigned):
            raise PartitionAway(f"none of the partitions {sorted(assigned)} can be looked at")

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
            self._waiting.end(partition)
        self._assigned = assigned
        for partition in self._halted - assigned:
            self._alarms.clear(f"offset_{partition}")  # the instance that has it now looks at it anew
        self._halted &= assigned
        for partition in self._resting.keys() - assigned:
            del self._resting[partition]
            self._alarms.clear(f"partition_{partition}")
        if not assigned:
            self._dead_letters.end()
        for partition in sorted(assigned - set(self._positions) - self._halted - self._resting.keys()):
            try:
                self._reconcile(partition)
            except DatabaseTrouble as error:
                self._waiting.waits(partition, error, looking_up=True)
                self._positions.clear()  # polled records come again from the stored offsets
                raise
            self._waiting.looked_up(partition)

    def _handle_polled(self, partition: int, records: Sequence[Record], *, after_seek: bool) -> None:
        expected = self._positions.get(partition)
        if expected is None:
            return  # halted, or no longer assigned
        if not self._is_next(partition, expected, records, after_seek=after_seek):
            self._reconcile(partition)
            return
        try:
            for part in self._sizes.split(partition, records):
                self._run_batch(partition, expected, part)
                expected = after(part[-1])
                if self._positions.get(partition) != expected:
                    return  # the batch failed, and comes again
        except OffsetMoved:
            log.warning("another instance has handled partition %s further; going on from the stored offset", partition)
            self._reconcile(partition)

    def _is_next(self, partition: int, expected: int, records: Sequence[Record], *, after_seek: bool) -> bool:
        """Tell whether the records follow the position, in the same log."""
        epoch = leader_epoch(records[-1])
        if epoch > self._epochs.setdefault(partition, epoch):
            self._epochs[partition] = epoch  # a new leader may lack records that were handled
            return False
        if records[0].offset == expected:
            return True
        if not after_seek or records[0].offset < expected:
            return False
        try:
            return self._log.bounds(partition)[0] <= expected  # else retention deleted commands since the seek
        except PartitionAway:
            return False

    def _run_batch(self, partition: int, expected: int, records: Sequence[Record]) -> None:
        """Commit the records together; if they fail a second time, one by one, to find the faulty one."""
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
        """Answer the one command of the batch with a failure, if it is proved that others can be handled."""
        self._breaker.check()
        self._handler.rehearse()
        try:
            self._commit(batch, give_up=reason)
        except CommandFault as fault:
            raise ServiceTrouble(f"A command cannot even be given up: {fault}") from fault
        place = f"{batch.partition}/{batch.expected}"
        # The reason may hold words of the command, which may name a person: it stands with the command alone.
        sentence = f"Command {place} was given up and answered with a failure: `flask orders given-up list` says why"
        self._alarms.happened(f"command_given_up_{batch.partition}_{batch.expected}", sentence)

    def _batch(self, partition: int, expected: int, records: Sequence[Record]) -> Batch:
        assert self._topic_id is not None
        return Batch(self._log.topic, self._topic_id, partition, expected, after(records[-1]), records)

    def _commit(self, batch: Batch, *, give_up: str | None = None) -> None:
        try:
            letters = self._handler.handle(batch, give_up=give_up)
        except DatabaseFails:
            raise
        except (DatabaseBusy, OutcomeUnknown):  # perhaps too much for the time that a transaction has
            self._sizes.failed(batch.partition, len(batch.records))
            raise
        self._sizes.worked(batch.partition)
        self._positions[batch.partition] = batch.next_offset
        self._waiting.end(batch.partition)
        self._log.commit(batch.partition, batch.next_offset)
        self._dead_letters.count(letters, len(batch.records))
        self._report_damage(batch)
        if give_up is not None:
            self._breaker.given_up()
        elif letters < len(batch.records):
            self._breaker.handled()

    def _report_damage(self, batch: Batch) -> None:
        for record in batch.records:
            if isinstance(record, UnreadRecord) and record.damaged:
                name = f"record_unread_{batch.partition}_{record.offset}"
                self._alarms.happened(name, f"Partition {batch.partition} of {batch.topic}: {record.error}")

    def _reconcile(self, partition: int) -> None:
        found = self._find(partition)
        if found is not None:
            self._follow(partition, found)

    def _find(self, partition: int) -> GoOn | Halt | None:
        """Return where the partition goes on, None if it cannot be looked at: then it alone rests."""
        assert self._topic_id is not None
        try:
            found = self._check.find(partition, self._topic_id)
        except PartitionAway as away:
            self._rest(partition, away)
            return None
        self._resting.pop(partition, None)
        self._alarms.clear(f"partition_{partition}")  # a consumer before this one may have rung it
        return found

    def _follow(self, partition: int, found: GoOn | Halt) -> None:
        if isinstance(found, Halt):
            self._positions.pop(partition, None)
            self._halted.add(partition)
            self._log.pause(partition)
            self._alarms.ring(f"offset_{partition}", found.alarm)
            return
        self._halted.discard(partition)
        self._alarms.clear(f"offset_{partition}")
        self._seek(partition, found.offset)

    def _rest(self, partition: int, away: PartitionAway) -> None:
        """Poll nothing from the partition until it can be looked at."""
        self._positions.pop(partition, None)
        self._halted.discard(partition)
        self._log.pause(partition)
        looks = self._resting[partition] = self._resting.get(partition, 0) + 1
        if looks >= LOOKS_BEFORE_ALARM:
            sentence = f"Partition {partition} of {self._log.topic} cannot be read, its commands wait: {away}"
            self._alarms.ring(f"partition_{partition}", sentence)

    def _seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset
        self._kept.pop(partition, None)  # the trail may have been cut, even if the position is as before
        self._sought.add(partition)
        self._log.seek(partition, offset)
