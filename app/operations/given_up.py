"""Commands that were answered with `internal_error` because they could not be handled."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete

from app.config.config import Settings
from app.models.kafka_tables import given_up_commands as given_up
from app.models.operator_errors import NotFound
from app.operations import stored_records
from app.operations.audit import Operator
from app.operations.stored_records import StoredRecord, WithBytes

DISCARD_SECONDS = 35


@dataclass(frozen=True, slots=True)
class GivenUp(StoredRecord):
    """`error`: why the command could not be handled."""

    type: str
    correlation_id: str
    error: str
    created_at: datetime
    bytes: int | None


def find(settings: Settings, *, limit: int = 20) -> list[GivenUp]:
    """Return the commands that were given up, newest first."""
    return stored_records.find(GivenUp, given_up, settings, limit)


def show(settings: Settings, command_id: int) -> WithBytes[GivenUp]:
    """Return one with its bytes. Raises NotFound."""
    return stored_records.show(GivenUp, given_up, settings, command_id, f"{_missing(command_id)}.")


def discard(operator: Operator, ids: Iterable[int]) -> list[int]:
    """Delete commands with their bytes, all or none; return the ids, each once. Raises NotFound."""
    found = sorted(set(ids))
    with operator.change("discard", DISCARD_SECONDS) as change:
        for command_id in found:
            gone = delete(given_up).where(given_up.c.id == command_id).returning(given_up)
            row = change.connection.execute(gone).first()
            if row is None:
                raise NotFound(f"{_missing(command_id)}. Nothing was changed.")
            detail = f"{row.topic}/{row.partition}/{row.offset}, {row.type} {row.correlation_id}"
            change.record(f"given-up command {command_id}", detail)
    return found


def _missing(command_id: int) -> str:
    return f"There is no command {command_id} that was given up"
