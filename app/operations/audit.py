"""The audit: each change of an operator writes its line in its own transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from app.config.config import Settings
from app.models.service_tables import operator_actions as actions
from app.operations.transaction import STEP_SECONDS, transaction


@dataclass(frozen=True, slots=True)
class AuditedChange:
    """The transaction in which an operator changes something, and its audit lines."""

    connection: Connection
    who: str
    action: str

    def record(self, subject: str, detail: str, data: bytes | None = None) -> int:
        """Write an audit line and return its id. `data`: bytes that are nowhere else any more."""
        line = {"who": self.who, "action": self.action, "subject": subject, "detail": detail, "bytes": data}
        written = self.connection.execute(actions.insert().values(line).returning(actions.c.id))
        return int(written.scalar_one())

    def complete(self, line: int, detail: str) -> None:
        """Write into an audit line how an action outside the database ended."""
        _complete(self.connection, line, detail)


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who decides. `name` stands in the audit lines, `settings` say which database and broker are meant."""

    settings: Settings
    name: str

    @contextmanager
    def change(self, action: str, seconds: int = STEP_SECONDS) -> Iterator[AuditedChange]:
        """Commit the body's statements and audit lines together, as `transaction` does, under the name `action`."""
        with transaction(self.settings, seconds) as connection:
            yield AuditedChange(connection, self.name, action)

    def complete(self, line: int, detail: str) -> None:
        """As `AuditedChange.complete`, in a transaction of its own."""
        with transaction(self.settings) as connection:
            _complete(connection, line, detail)


def _complete(connection: Connection, line: int, detail: str) -> None:
    connection.execute(actions.update().where(actions.c.id == line).values(detail=detail))
