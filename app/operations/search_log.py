"""Records of our topics as a search shows them: whose they are, not what they say."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.config.config import Settings
from app.kafka import log_search
from app.kafka.event_reader import event_ids_of
from app.kafka.log_search import LogRecord
from app.wire.command_reader import DeadLetter, parse_record
from app.wire.fields import is_id


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A record of the log. `kind`: command, unreadable command, event or dead letter; `bytes`: how long its value is,
    None for a tombstone."""

    place: str
    kind: str
    at: datetime
    key: str | None
    type: str | None
    event_id: UUID | None
    correlation_id: str | None
    order_id: str | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class LogLook:
    """What a look for an event id found, among how many records, and whether these are all that the topic holds."""

    record: FoundRecord | None
    read: int
    whole: bool


def record_in_log(settings: Settings, topic: str, partition: int, offset: int, seconds: float) -> FoundRecord | None:
    """Return the record at the place, None if the log has none there. Raises KafkaUnusable."""
    record = log_search.record_at(settings, topic, partition, offset, seconds)
    return None if record is None else _shown(settings, record)


def event_in_log(settings: Settings, event_id: UUID, seconds: float) -> LogLook:
    """Look for the event among the newest records of the events topic. Raises KafkaUnusable."""
    look = log_search.find_event(settings, settings.events_topic, event_id, seconds)
    return LogLook(None if look.record is None else _shown(settings, look.record), look.read, look.whole)


def _shown(settings: Settings, record: LogRecord) -> FoundRecord:
    place, key = f"{record.topic}/{record.partition}/{record.offset}", _text(record.key)
    length = None if record.value is None else len(record.value)
    if record.topic == settings.commands_topic:
        parsed = parse_record(record.value)
        if isinstance(parsed, DeadLetter):
            return FoundRecord(place, "unreadable command", record.at, key, None, None, None, None, length)
        about = parsed.correlation_id, parsed.order_id
        return FoundRecord(place, "command", record.at, key, parsed.type, None, *about, length)
    headers = {name: _text(value) for name, value in record.headers}
    event_id = next(iter(event_ids_of([record])), None)
    correlation_id, kind = headers.get("correlation_id"), headers.get("type")
    if record.topic == settings.events_topic:
        return FoundRecord(place, "event", record.at, key, kind, event_id, correlation_id, key, length)
    return FoundRecord(place, "dead letter", record.at, key, kind, event_id, correlation_id, None, length)


def _text(value: bytes | None) -> str | None:
    """Return the bytes as an id, None where they can be none."""
    found = None if value is None else value.decode("utf-8", "replace")
    return found if found is not None and is_id(found) else None
