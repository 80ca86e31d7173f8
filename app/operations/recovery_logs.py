"""What the topics have of the time after a restored state, and what of it the database has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, insert, select, tuple_

from app.config.config import Settings
from app.kafka import operator as kafka
from app.kafka.operator import Topic
from app.models.kafka_tables import command_identities, outbox, relay_positions
from app.models.models import order_changes
from app.models.operator_errors import NotPossible
from app.models.records import identity, is_other_topic
from app.operations import offsets
from app.operations.recovery_order import Handled
from app.operations.transaction import transaction
from app.utils.ids import reply_id
from app.wire.announced import Announced, announced

MOST = 500_000  # records of each topic, which are held in memory: about 1 GiB
PORTION = 1_000
_changes = order_changes.c


def events_since(settings: Settings) -> tuple[list[Announced], int]:
    """Return what the events topic has since the restored state, and how many records retention has deleted since."""
    topic = kafka.events_topic(settings)
    with transaction(settings) as connection:
        columns = relay_positions.c
        query = select(columns.partition, columns.topic_id, columns.next_offset)
        rows = connection.execute(query.where(columns.topic == settings.events_topic)).all()
    _require_same(settings.events_topic, topic, [row.topic_id for row in rows])
    since = {row.partition: row.next_offset for row in rows}
    found = []
    begins, deleted = _begins(settings.events_topic, topic, since)
    for partition, begin in begins.items():
        log = kafka.records(settings, settings.events_topic, partition, begin, topic.partitions[partition].readable)
        found += [event for record in log if (event := announced(record.key, record.value, record.headers))]
    return found, deleted


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands since the restored state by partition. `deleted`: how many retention has deleted since."""

    topic_id: UUID
    logs: Mapping[int, Sequence[Handled]]
    deleted: int


def commands_since(settings: Settings, events: Mapping[UUID, Announced]) -> Commands:
    """Return the commands since the restored state with their replies, which are among the events."""
    topic = offsets.our_topic(settings)
    with transaction(settings) as connection:
        stored = offsets.read_stored(connection, settings.commands_topic)
    _require_same(settings.commands_topic, topic, [it.topic_id for it in stored.values()])
    begins, deleted = _begins(settings.commands_topic, topic, {at: it.next_offset for at, it in stored.items()})
    logs = {}
    for partition, begin in begins.items():
        end = topic.partitions[partition].readable
        logs[partition] = [
            Handled(partition, it, events.get(reply_id(topic.id, partition, it.offset, it.timestamp)))
            for it in kafka.records(settings, settings.commands_topic, partition, begin, end)
        ]
    return Commands(topic.id, logs, deleted)


def _require_same(name: str, topic: Topic, stored: Sequence[UUID]) -> None:
    if not stored:
        raise NotPossible(f"The restored state has no position in {name}: it is from before the service's first start.")
    if any(is_other_topic(topic_id, topic.id) for topic_id in stored):
        raise NotPossible(f"The topic {name} was made anew since the restored state: it does not have what came after.")


def _begins(name: str, topic: Topic, since: Mapping[int, int]) -> tuple[dict[int, int], int]:
    """Return where to begin in each partition, and how many records are deleted. Raises NotPossible."""
    begins = {number: max(since.get(number, 0), log.begin) for number, log in topic.partitions.items()}
    deleted = sum(begin - since.get(number, 0) for number, begin in begins.items())
    if (count := sum(topic.partitions[number].end - begin for number, begin in begins.items())) > MOST:
        raise NotPossible(f"{name} has {count} records since the restored state, over {MOST}: restore a later one.")
    if any(begin > topic.partitions[number].end for number, begin in begins.items()):
        raise NotPossible(f"{name} ends before the place that the restored state knows: its log is another one.")
    return begins, deleted


def read_dead_letters_back(connection: Connection, settings: Settings) -> None:
    """Let the next leader of the dead letters read their whole topic back, where the restored state has no position in
    it: a leader without one takes the topic for new, and would send again what is there."""
    topic, columns = kafka.dead_letter_topic(settings), relay_positions.c
    name = settings.dead_letter_topic
    if connection.scalar(select(columns.partition).where(columns.topic == name).limit(1)) is None:
        rows = [{"topic": name, "partition": at, "topic_id": topic.id, "next_offset": 0} for at in topic.partitions]
        connection.execute(insert(relay_positions), rows)


def unknown(settings: Settings, events: Sequence[Announced]) -> list[Announced]:
    """Return the events that the restored state does not have, neither as history nor waiting in the outbox."""
    known: set[UUID] = set()
    with transaction(settings) as connection:
        for begin in range(0, len(events), PORTION):
            some = events[begin : begin + PORTION]
            waiting = select(outbox.c.event_id).where(outbox.c.event_id.in_([it.event_id for it in some]))
            known |= set(connection.scalars(waiting)) | in_history(connection, some)
    return [event for event in events if event.event_id not in known]


def identities(settings: Settings, commands: Commands) -> set[bytes]:
    """Return the identities of those commands without a reply that the restored state has handled already."""
    hashes = [identity(it.record) for log in commands.logs.values() for it in log if it.reply is None]
    known: set[bytes] = set()
    with transaction(settings) as connection:
        for begin in range(0, len(hashes), PORTION):
            query = select(command_identities.c.hash).where(command_identities.c.hash.in_(hashes[begin:][:PORTION]))
            known |= set(map(bytes, connection.scalars(query)))
    return known


def in_history(connection: Connection, events: Sequence[Announced]) -> set[UUID]:
    """Return the ids of those that announce a change which the history has."""
    places = [(event.key, event.version) for event in events if event.version is not None]
    query = select(_changes.change_id).where(tuple_(_changes.order_id, _changes.version).in_(places))
    return set(connection.scalars(query)) if places else set()


def not_back(settings: Settings, events: Sequence[Announced], since: datetime) -> list[Announced]:
    """Return the events that tell otherwise than the history: of a change that it does not have, or of none where it
    has one, made since then."""
    differs = []
    with transaction(settings) as connection:
        for begin in range(0, len(events), PORTION):
            some = events[begin : begin + PORTION]
            silent = [event.event_id for event in some if event.version is None]
            made = select(_changes.change_id).where(_changes.created_at >= since, _changes.change_id.in_(silent))
            known = in_history(connection, some) ^ set(silent) ^ (set(connection.scalars(made)) if silent else set())
            differs += [event for event in some if event.event_id not in known]
    return differs
