"""The audit: each change of an operator writes its line in its own transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func

from app.config.config import Settings
from app.models.service_tables import operator_actions as actions
from app.operations.transaction import STEP_SECONDS, select_as, transaction


@dataclass(frozen=True, slots=True)
class AuditLine:
    """What an operator did, to what, and how it ended. `kept_bytes`: how many bytes of a record the line keeps."""

    id: int
    at: datetime
    who: str
    action: str
    subject: str
    detail: str
    kept_bytes: int | None


def lines(
    settings: Settings, *, subject: str | None = None, before: int | None = None, limit: int = 20
) -> list[AuditLine]:
    """Return audit lines, the latest first. `subject`: only those about it; `before`: only those with a smaller id.

    Reads at most `limit` lines by the primary key, and with a subject perhaps all. Raises DatabaseUnusable.
    """
    query = select_as(AuditLine, actions, func.octet_length(actions.c.bytes)).order_by(actions.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(actions.c.subject == subject)
    if before is not None:
        query = query.where(actions.c.id < before)
    with transaction(settings) as connection:
        return [AuditLine(*row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class AuditedChange:
    """The transaction in which an operator changes something, and its audit lines."""

    connection: Connection
    who: str
    action: str
    reason: str = ""

    def record(self, subject: str, detail: str, data: bytes | None = None) -> int:
        """Write an audit line and return its id. `data`: bytes that are nowhere else any more."""
        line = {"who": self.who, "action": self.action, "subject": subject, "bytes": data}
        line["detail"] = _with_reason(detail, self.reason)
        written = self.connection.execute(actions.insert().values(line).returning(actions.c.id))
        return int(written.scalar_one())

    def complete(self, line: int, detail: str) -> None:
        """Write into an audit line how an action outside the database ended."""
        _complete(self.connection, line, _with_reason(detail, self.reason))


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who decides. `name` stands in the audit lines, and so does `reason`, if it is given here; `settings` say
    which database and broker are meant."""

    settings: Settings
    name: str
    reason: str = ""

    @contextmanager
    def change(self, action: str, seconds: int = STEP_SECONDS) -> Iterator[AuditedChange]:
        """Commit the body's statements and audit lines together, as `transaction` does, under the name `action`."""
        with transaction(self.settings, seconds) as connection:
            yield AuditedChange(connection, self.name, action, self.reason)

    def complete(self, line: int, detail: str) -> None:
        """As `AuditedChange.complete`, in a transaction of its own."""
        with transaction(self.settings) as connection:
            _complete(connection, line, _with_reason(detail, self.reason))


def _with_reason(detail: str, reason: str) -> str:
    return f"{detail}; reason: {reason}" if reason else detail


def _complete(connection: Connection, line: int, detail: str) -> None:
    connection.execute(actions.update().where(actions.c.id == line).values(detail=detail))
