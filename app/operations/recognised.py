"""Which commands would be done a second time if handling went on from an earlier offset.

A command that was handled is recognised by its bytes, until they are forgotten; a command that another service
handled, before this one took its place, never is.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import islice

from sqlalchemy import select

from app.config.config import Settings
from app.kafka import operator as kafka
from app.kafka.operator import Partition
from app.models.kafka_tables import command_identities
from app.models.records import Record, StoredOffset, digest, identity, is_other_topic
from app.operations.transaction import transaction
from app.wire.command_reader import DeadLetter, parse_record

MOST_READ = 100_000
AT_ONCE = 1000


def done_again(
    settings: Settings, partition: int, log: Partition, old: StoredOffset | None, new: StoredOffset
) -> str | None:
    """Return what would be done a second time, None if everything is recognised.

    Reads at most MOST_READ records, the oldest first: the commands handled last are recognised the longest.
    """
    take_over = old.take_over if old else new.take_over
    if old is None and take_over is None:
        return None
    end, before = old.next_offset if old else log.committed or 0, None
    if old is not None and is_other_topic(old.topic_id, new.topic_id):
        end, before = log.end, take_over.taken_at if take_over else None
        if before is None:
            return None
    begin, end = new.next_offset, min(end, log.end)
    if begin >= end or (old and _is_another_log(settings, partition, old, end)):
        return None
    count, seen, first = _not_recognised(settings, partition, begin, min(end, begin + MOST_READ), before)
    place = f"{settings.commands_topic}/{partition}"
    at = take_over.offset if take_over else None
    took_over = f" This service took the place of another at {at}." if at is not None else ""
    if count:
        return (
            f"{place}: {count} of the commands from {first} to {end - 1} are not recognised any more and would be done "
            f"again.{took_over}"
        )
    if seen >= MOST_READ:
        return f"{place}: the first {seen} commands are recognised; of those after them that is not known.{took_over}"
    return None


def _is_another_log(settings: Settings, partition: int, old: StoredOffset, end: int) -> bool:
    """Tell whether the log has another record where the last one was handled: then nothing in the log was handled."""
    handled = old.last_handled
    if handled is None or handled.offset >= end:
        return False
    found = kafka.records(settings, settings.commands_topic, partition, handled.offset, handled.offset + 1)
    known = (handled.timestamp, handled.digest)
    return any((record.timestamp, digest(record.key, record.value)) != known for record in list(found))


def _not_recognised(
    settings: Settings, partition: int, begin: int, end: int, before: datetime | None
) -> tuple[int, int, int | None]:
    """Return how many commands are not recognised, how many were read, and the offset of the first such.

    `before`: only those with an older timestamp count.
    """
    count, seen, first = 0, 0, None
    records = kafka.records(settings, settings.commands_topic, partition, begin, end)
    while portion := list(islice(records, AT_ONCE)):
        seen += len(portion)
        older = [record for record in portion if before is None or record.timestamp < before.timestamp() * 1000]
        known = _known(settings, older)
        for record in older:
            if identity(record) not in known and not isinstance(parse_record(record.value), DeadLetter):
                count, first = count + 1, record.offset if first is None else first
    return count, seen, first


def _known(settings: Settings, records: Iterable[Record]) -> set[bytes]:
    column = command_identities.c.hash
    query = select(column).where(column.in_(list(map(identity, records))))
    with transaction(settings) as connection:
        return {bytes(found) for found in connection.scalars(query)}
