"""How far the commands are handled, and from where to go on when only a person can tell."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.config.config import Settings
from app.database.batches import stored_offset
from app.kafka import operator as kafka
from app.kafka.log_check import where_to_go_on
from app.kafka.operator import Partition, Topic
from app.models.kafka_tables import consumer_checkpoints
from app.models.kafka_tables import consumer_offsets as stored_offsets
from app.models.operator_errors import NotFound, NotPossible
from app.models.records import StoredOffset, TakeOver, is_other_topic
from app.operations.audit import Operator
from app.operations.cluster import require_ours
from app.operations.recognised import done_again
from app.operations.transaction import transaction

Stored = Mapping[int, StoredOffset]

_LAST = ("last_offset", "last_timestamp", "last_hash", "last_epoch")
_FLOOR = ("floor_offset", "floor_at")


@dataclass(frozen=True, slots=True)
class PartitionOffsets:
    """`stored`: the next command to handle; `begin` and `end`: of the log; `committed`: the group's; `lag`: offsets
    between the stored one and the end; `alarm`: what is wrong. Each is None if there is none."""

    partition: int
    stored: int | None
    begin: int | None
    end: int | None
    committed: int | None
    lag: int | None
    alarm: str | None


@dataclass(frozen=True, slots=True)
class OffsetPlan:
    """What `set_offset` would do. `consequence` says it in one sentence, and is empty if the stored offset is there
    already; `repeats`: commands would be done a second time."""

    partition: int
    before: StoredOffset | None
    after: StoredOffset
    consequence: str = ""
    repeats: bool = False


def show(settings: Settings) -> list[PartitionOffsets]:
    """Return the stored offset of each partition beside the log and the group."""
    with transaction(settings) as connection:
        stored = read_stored(connection, settings.commands_topic)
    topic = our_topic(settings)
    return [_beside(number, stored.get(number), topic) for number in sorted({*topic.partitions, *stored})]


def plan(settings: Settings, partition: int, offset: int) -> OffsetPlan:
    """Return what setting the stored offset would do. Raises NotPossible if the log has no such offset.

    Reads the commands between the two offsets, up to 100,000, to find those that would be done again.
    """
    topic = our_topic(settings)
    log = _require_in_log(settings.commands_topic, topic, partition, offset)
    with transaction(settings) as connection:
        old = read_stored(connection, settings.commands_topic).get(partition)
    new = StoredOffset(topic.id, offset)
    if old is not None and (old.topic_id, old.next_offset) == (topic.id, offset):
        return OffsetPlan(partition, old, new)
    if old is None and log.committed is not None:  # this service takes the group's place, as its first look would note
        new = replace(new, take_over=TakeOver(log.committed, datetime.now().astimezone()))
    again = done_again(settings, partition, log, old, new)
    consequence = again or _consequence(f"{settings.commands_topic}/{partition}", old, new)
    return OffsetPlan(partition, old, new, consequence, repeats=again is not None)


def set_offset(operator: Operator, plan: OffsetPlan) -> None:
    """Do as planned. Raises NotPossible if the service has moved the offset since. It follows within 5 s."""
    name, old, new = operator.settings.commands_topic, plan.before, plan.after
    with operator.change("offsets set") as change:
        if not _write(change.connection, name, plan):
            raise _moved_meanwhile(name, plan.partition)
        moved = f"{old and old.next_offset} → {new.next_offset}, topic id {new.topic_id}"
        change.record(f"offset {name}/{plan.partition}", moved)


def forgettable(settings: Settings, partition: int) -> StoredOffset:
    """Return the stored offset of a partition that the topic no longer has. Raises NotPossible and NotFound."""
    name = settings.commands_topic
    if partition in our_topic(settings).partitions:
        raise NotPossible(f"Topic {name} has partition {partition}: `offsets set` moves its offset.")
    with transaction(settings) as connection:
        stored = read_stored(connection, name).get(partition)
    if stored is None:
        raise NotFound(f"There is no stored offset of {name}/{partition}.")
    return stored


def forget(operator: Operator, partition: int, stored: StoredOffset) -> None:
    """Delete the stored offset of a partition, which `forgettable` has returned. Raises NotPossible if it has moved."""
    name = operator.settings.commands_topic
    with operator.change("offsets forget") as change:
        shown = _place(name, partition) | _position(stored)
        if not change.connection.execute(delete(stored_offsets).filter_by(**shown)).rowcount:
            raise _moved_meanwhile(name, partition)
        change.connection.execute(delete(consumer_checkpoints).filter_by(**_place(name, partition)))
        change.record(f"offset {name}/{partition}", f"{stored.next_offset}, topic id {stored.topic_id}")


def read_stored(connection: Connection, topic: str) -> Stored:
    """Return the stored offsets of a topic."""
    columns = [stored_offsets.c[name] for name in ("partition", "topic_id", "next_offset", *_LAST, *_FLOOR)]
    rows = connection.execute(select(*columns).where(stored_offsets.c.topic == topic))
    return {partition: stored_offset(*row) for partition, *row in rows}


def our_topic(settings: Settings) -> Topic:
    """Return the commands topic as it is now. Raises NotPossible if the stored offsets are of another cluster."""
    topic = kafka.commands_topic(settings)
    require_ours(settings, topic.cluster_id)
    return topic


def disagreement(partition: int, stored: StoredOffset | None, topic: Topic) -> str | None:
    """Return what is wrong between the stored offset and the log, None if they agree."""
    log = topic.partitions.get(partition)
    if log is None:
        return f"The topic has no such partition (`flask orders offsets forget --partition {partition}`)"
    if stored is None:
        return None
    return where_to_go_on(stored, topic.id, log.begin, log.end).alarm


def _beside(partition: int, stored: StoredOffset | None, topic: Topic) -> PartitionOffsets:
    log = topic.partitions.get(partition)
    next_offset = None if stored is None else stored.next_offset
    alarm = disagreement(partition, stored, topic)
    if log is None:
        return PartitionOffsets(partition, next_offset, None, None, None, None, alarm)
    if alarm is None and log.readable < log.end:
        held = f"An open transaction holds the partition from {log.readable} on"
        alarm = f"{held}: nothing there can be read until it ends"
    lag = max(log.end - max(next_offset or 0, log.begin), 0)
    return PartitionOffsets(partition, next_offset, log.begin, log.end, log.committed, lag, alarm)


def _require_in_log(name: str, topic: Topic, partition: int, offset: int) -> Partition:
    log = topic.partitions.get(partition)
    if log is None:
        known = ", ".join(map(str, topic.partitions))
        raise NotPossible(f"Topic {name} has no partition {partition}, it has {known}.")
    if not log.begin <= offset <= log.end:
        raise NotPossible(
            f"Offset {offset} is not in the log: partition {partition} of {name} begins at {log.begin}, "
            f"and {log.end} is its next one."
        )
    return log


def _consequence(place: str, old: StoredOffset | None, new: StoredOffset) -> str:
    if old is None:
        return f"{place} has no stored offset yet; handling will begin at {new.next_offset}."
    if is_other_topic(old.topic_id, new.topic_id):
        return f"{place} was made anew; handling will begin at {new.next_offset}."
    if new.next_offset < old.next_offset:
        return f"{place}: {new.next_offset} to {old.next_offset - 1} come again; what was handled is recognised."
    return f"{place}: the commands from {old.next_offset} to {new.next_offset - 1} will never be handled or answered."


def _write(connection: Connection, name: str, plan: OffsetPlan) -> bool:
    """Replace the offset that the plan found; tell whether it was still there."""
    old, new = plan.before, plan.after
    place = _place(name, plan.partition)
    values = _position(new) | {"updated_at": func.now()} | dict.fromkeys(_LAST)
    connection.execute(delete(consumer_checkpoints).filter_by(**place))  # they may be of another log
    if old is None:
        if new.take_over is not None:
            values |= {"floor_offset": new.take_over.offset, "floor_at": new.take_over.taken_at}
        written = connection.execute(insert(stored_offsets).values(place | values).on_conflict_do_nothing())
    else:
        if is_other_topic(old.topic_id, new.topic_id):
            values["floor_offset"] = None
        written = connection.execute(update(stored_offsets).filter_by(**place, **_position(old)).values(values))
    return bool(written.rowcount)


def _place(name: str, partition: int) -> dict[str, Any]:
    return {"topic": name, "partition": partition}


def _position(offset: StoredOffset) -> dict[str, Any]:
    return {"topic_id": offset.topic_id, "next_offset": offset.next_offset}


def _moved_meanwhile(name: str, partition: int) -> NotPossible:
    return NotPossible(f"The service moved the offset of {name}/{partition} meanwhile: look again.")
