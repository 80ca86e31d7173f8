"""Which commands between two offsets would be done again: those that were handled and are not recognised any more."""

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.cli import broker
from app.cli.database import transaction
from app.config.config import Settings
from app.models.models import command_identities
from app.wire.command_reader import DeadLetter, parse_record

MOST_READ = 100_000
AT_ONCE = 1000


def not_recognised(
    settings: Settings, partition: int, begin: int, end: int, before: datetime | None = None
) -> tuple[int, int, int | None]:
    """Return how many commands are not recognised, how many were read, and the offset of the first such.

    `before`: only those with an older timestamp count. Reads MOST_READ records at the most, the oldest first: what was
    handled last is recognised the longest. Raises Failure.
    """
    count, seen, first = 0, 0, None
    portion: list[Any] = []

    def look() -> None:
        nonlocal count, first
        known = _known([_identity(it.value) for it in portion])
        for record in portion:
            if _identity(record.value) not in known and not isinstance(parse_record(record.value), DeadLetter):
                count, first = count + 1, record.offset if first is None else first
        portion.clear()

    for record in broker.records(settings, settings.commands_topic, partition, begin, min(end, begin + MOST_READ)):
        seen += 1
        if before is None or record.timestamp < before.timestamp() * 1000:
            portion.append(record)
        if len(portion) >= AT_ONCE:
            look()
    look()
    return count, seen, first


def _identity(value: bytes | None) -> bytes:
    return hashlib.sha256(value or b"").digest()


def _known(identities: list[bytes]) -> set[bytes]:
    with transaction() as connection:
        query = select(command_identities.c.hash).where(command_identities.c.hash.in_(identities))
        return {bytes(row.hash) for row in connection.execute(query)}
