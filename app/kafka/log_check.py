"""Whether the log is still the one that the stored offset belongs to, and where to go on where it is not.

Offsets alone do not tell. A broker that came back with an older copy, or a leader that lost records, writes other
records to the same offsets, and leader epochs repeat themselves in a copy. So the service stores the checkpoint of the
last record that it handled and a trail of older ones, and compares them with the log. If they differ, it goes back
to the last checkpoint that agrees. That repeats nothing: handled commands are recognised by their bytes [K8].
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.kafka.command_ports import CommandLog, OffsetStore, StaleTopic
from app.models.records import Checkpoint, StoredOffset, TakeOver, is_other_topic
from app.utils.alarms import Alarms

LOOKS_BACK = 3  # checkpoints that are compared each time: the newest may be of the new log already


@dataclass(frozen=True, slots=True)
class GoOn:
    """Go on at `offset`. `alarm`: what a person should know; `changed`: the stored offset must follow.

    `kind` begins the alarm's name; `last_handled` is the record before `offset`, if it is known.
    """

    offset: int
    alarm: str | None = None
    changed: bool = False
    kind: str = "offset"
    last_handled: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """Handle nothing of this partition until a person has decided."""

    alarm: str


def where_to_go_on(stored: StoredOffset, topic_id: uuid.UUID, begin: int, end: int) -> GoOn | Halt:
    """Compare the stored offset with the bounds of the log. Pure."""
    if is_other_topic(stored.topic_id, topic_id):
        sentence = "The topic was made anew; handling it from its beginning"
        return GoOn(begin, sentence, changed=True, kind="topic_made_anew")
    if end < stored.next_offset:
        return Halt(f"The log ends at {end}, before the stored offset {stored.next_offset}")
    if begin > stored.next_offset:
        lost = f"The log begins at {begin}: the commands from {stored.next_offset} on were deleted unhandled"
        return GoOn(begin, lost, changed=True, kind="commands_lost")
    return GoOn(stored.next_offset, changed=stored.topic_id != topic_id, last_handled=stored.last_handled)


class LogCheck:
    """Finds where a partition goes on. Blocks for some seconds; raises PartitionAway, StaleTopic, DatabaseTrouble."""

    def __init__(self, commands: CommandLog, offsets: OffsetStore, alarms: Alarms, identity_days: int) -> None:
        """`identity_days`: a command is known by its bytes for so long at least."""
        self._log = commands
        self._offsets = offsets
        self._alarms = alarms
        self._identity_ms = identity_days * 86_400_000

    def find(self, partition: int, topic_id: uuid.UUID) -> GoOn | Halt:
        """Return where to go on; store the offset and ring an alarm if that is not the stored one."""
        stored = self._offsets.offset(self._log.topic, partition) or self._first_offset(partition, topic_id)
        if is_other_topic(stored.topic_id, topic_id) and self._log.ask_topic_id() != topic_id:
            raise StaleTopic(f"partition {partition} is stored with a newer topic than this client knows")
        begin, end = self._log.bounds(partition)  # asked for last: no stored offset can lie beyond a younger end
        found = self._compare(partition, stored, topic_id, begin, end)
        if isinstance(found, GoOn) and found.changed:
            take_over = stored.take_over
            if take_over is not None and found.kind == "topic_made_anew":
                take_over = TakeOver(None, take_over.taken_at)
            new = StoredOffset(topic_id, found.offset, found.last_handled, take_over)
            self._offsets.reset_offset(self._log.topic, partition, stored, new)
        if isinstance(found, GoOn) and found.alarm is not None:
            mark = topic_id.hex[:8] if found.kind == "topic_made_anew" else stored.next_offset
            self._alarms.happened(f"{found.kind}_{partition}_{mark}", found.alarm)
        return found

    def _first_offset(self, partition: int, topic_id: uuid.UUID) -> StoredOffset:
        committed = self._log.committed(partition)
        if committed is None:
            start = StoredOffset(topic_id, self._log.bounds(partition)[0])
        else:
            start = StoredOffset(topic_id, committed, take_over=TakeOver(committed, datetime.now().astimezone()))
        self._offsets.store_first_offset(self._log.topic, partition, start)
        return self._offsets.offset(self._log.topic, partition) or start

    def _compare(self, partition: int, stored: StoredOffset, topic_id: uuid.UUID, begin: int, end: int) -> GoOn | Halt:
        by_numbers = where_to_go_on(stored, topic_id, begin, end)
        if is_other_topic(stored.topic_id, topic_id):
            if stored.last_handled and self._is_there(partition, stored.last_handled, begin, end):
                return GoOn(
                    stored.next_offset, changed=True, last_handled=stored.last_handled
                )  # the same log under another id
            return self._made_anew(partition, stored, begin, end) or by_numbers
        older = self._offsets.trail(self._log.topic, partition, stored.next_offset)
        trail = [checkpoint for checkpoint in older if checkpoint != stored.last_handled]
        newest = [*([stored.last_handled] if stored.last_handled else []), *trail][:LOOKS_BACK]
        recent = [self._is_there(partition, checkpoint, begin, end) for checkpoint in newest]
        if False not in recent:
            return by_numbers
        return self._go_back(partition, stored, trail, begin, end)

    def _is_there(self, partition: int, known: Checkpoint, begin: int, end: int) -> bool | None:
        """Tell whether the log has the record, None if that cannot be told."""
        if known.offset < begin or known.digest is None:
            return None  # deleted by retention, or never readable
        if known.offset >= end:
            return False
        found = self._log.checkpoint_at(partition, known.offset)
        if found is None:  # only compaction removes a handled record; else the offset is of another log
            return None if self._log.compacted() else False
        if found.digest is None:
            return None
        return (found.timestamp, found.digest) == (known.timestamp, known.digest)

    def _go_back(
        self, partition: int, stored: StoredOffset, trail: Sequence[Checkpoint], begin: int, end: int
    ) -> GoOn | Halt:
        reason = f"The log is another one than was handled up to the stored offset {stored.next_offset}"
        if end < stored.next_offset:
            reason = f"The log ends at {end}, before the stored offset {stored.next_offset}"
        for known in trail:
            if self._is_there(partition, known, begin, end):
                return self._back_to(known.offset + 1, reason, known)
        taken_over_at = stored.take_over.offset if stored.take_over else None
        if taken_over_at is not None and taken_over_at > end:
            return Halt(f"{reason}, and before {taken_over_at}, where this service took over")
        known_since = self._log.first_since(partition, self._oldest_known())
        return self._back_to(max(begin, taken_over_at or begin, end if known_since is None else known_since), reason)

    @staticmethod
    def _back_to(offset: int, reason: str, last_handled: Checkpoint | None = None) -> GoOn:
        sentence = (
            f"{reason}: a broker came back with an older copy, or a leader lost records. The commands that were there "
            f"from {offset} on are gone; handling what is there now, what was handled is recognised"
        )
        return GoOn(offset, sentence, changed=True, kind="log_replaced", last_handled=last_handled)

    def _made_anew(self, partition: int, stored: StoredOffset, begin: int, end: int) -> Halt | None:
        """Return a halt if the new topic holds commands that may have been handled and are no longer recognised."""
        since = self._oldest_known()
        if stored.take_over is not None:
            since = max(since, int(stored.take_over.taken_at.timestamp() * 1000))
        first = self._log.first_since(partition, since)
        if begin == end or first == begin:
            return None
        old = "its end" if first is None else first
        return Halt(
            f"The topic has another id, and its commands from {begin} up to {old} are older than what is recognised "
            "(before the take-over, or than COMMAND_IDENTITY_DAYS): those that were handled would be done again"
        )

    def _oldest_known(self) -> int:
        return int(time.time() * 1000) - self._identity_ms
