"""Records of the commands topic that the service keeps with their bytes: dead letters and commands given up."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, Table, func

from app.config.config import Settings
from app.models.operator_errors import NotFound
from app.operations.transaction import select_as, transaction


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record, and where it was in the log. The last field of each subclass is `bytes`: how long its value is."""

    id: int
    topic: str
    partition: int
    offset: int

    @property
    def place(self) -> str:
        """Where the record was, as people write it."""
        return f"{self.topic}/{self.partition}/{self.offset}"


Kind = TypeVar("Kind", bound=StoredRecord)


@dataclass(frozen=True, slots=True)
class WithBytes(Generic[Kind]):
    """A record with its key and value."""

    record: Kind
    key: bytes | None
    value: bytes | None


def find(kind: type[Kind], table: Table, settings: Settings, limit: int, *where: ColumnElement[bool]) -> list[Kind]:
    """Return the records, newest first."""
    query = _select(kind, table).where(*where).order_by(table.c.id.desc()).limit(limit)
    with transaction(settings) as connection:
        return [kind(*row) for row in connection.execute(query)]


def show(kind: type[Kind], table: Table, settings: Settings, record_id: int, missing: str) -> WithBytes[Kind]:
    """Return one record. Raises NotFound with the sentence `missing`."""
    query = _select(kind, table).add_columns(table.c.key, table.c.value).where(table.c.id == record_id)
    with transaction(settings) as connection:
        row = connection.execute(query).first()
    if row is None:
        raise NotFound(missing)
    *values, key, value = row
    return WithBytes(kind(*values), key, value)


def _select(kind: type[Kind], table: Table) -> Select[Any]:
    return select_as(kind, table, func.octet_length(table.c.value))
