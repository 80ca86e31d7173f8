"""Brings the schema to head, or says why that cannot be done. Of several processes one migrates at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.database.connection import engine
from app.database.reasons import reason_of
from app.database.rights import wanted_by
from app.models.errors import DatabaseAway

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
VERSION_TABLE = "order_service_schema"  # not Alembic's default, which the service before this one may have used
LOCK_MS = 5000
_ONE_MIGRATOR = 0x6F726465  # "orde": the advisory lock that every starting process takes first

_AWAY = ("08", "57P")
_HIDDEN = (
    "SELECT relname FROM pg_class WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = "
    f"to_regclass('{VERSION_TABLE}')) AND relname IN ('orders', 'outbox', '{VERSION_TABLE}') AND relkind IN ('r', 'p') "
    "AND row_security_active(oid) AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid) ORDER BY relname"
)


class SchemaRefused(Exception):
    """The server answers, but the schema cannot be read or brought to head; the sentence says why."""


def is_at_head(url: str) -> bool:
    """Tell whether the schema is at this code's head. Raises SchemaRefused and DatabaseAway."""
    with _refusals(), engine(url).connect() as connection:
        return _is_at_head(connection)


def require_head(url: str) -> None:
    """Return if the schema is at this code's head. Raises SchemaRefused where it is not, and as `is_at_head`."""
    with _refusals(), engine(url).connect() as connection:
        if _is_at_head(connection):
            return
        if connection.scalar(text("SELECT to_regclass(:name)"), {"name": VERSION_TABLE}) is None:
            user = connection.scalar(text("SELECT current_user"))
            raise SchemaRefused(f"{user} sees no table {VERSION_TABLE}: not migrated, another schema, or no right")
        current = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
        raise SchemaRefused(f"it is at {current}, and this version needs {KNOWN[-1]}: run `alembic upgrade head`")


def migrate(url: str) -> None:
    """Bring the schema to head in one transaction. Waits for any other process that is migrating.

    Blocks without a limit, because migrating a large table takes its time. It waits only LOCK_MS for a lock, because
    all other users of the table wait behind it. Raises as `is_at_head`; nothing was changed then.
    """
    with _refusals(), engine(url).begin() as connection:
        if _is_at_head(connection):  # without waiting for the lock
            return
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ONE_MIGRATOR})
        if _is_at_head(connection):
            return
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_MS}"))
        # Rows that a policy hides would not be migrated: better an error.
        connection.execute(text("SET LOCAL row_security = off"))
        # Most starts find the schema at head and need not pay for the import of Alembic: 0.15 s and 12 MiB.
        from alembic import command
        from alembic.config import Config

        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        # To the head that this process knows: newer files on the disk belong to another release.
        command.upgrade(config, KNOWN[-1])


def revisions() -> list[str]:
    """Return the revisions that this code knows, the head last: the numbers that the migrations' files begin with."""
    return sorted(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        code = getattr(error.orig, "pgcode", None) or ""
        if not code or error.connection_invalidated or code.startswith(_AWAY):
            raise DatabaseAway("The database cannot be reached") from error
        if code == "55P03":
            raise SchemaRefused("somebody holds a lock on a table that has to be changed (55P03)") from error
        told = getattr(getattr(error.orig, "diag", None), "message_primary", None) or reason_of(error).sentence
        raise SchemaRefused(f"{told} ({code}){wanted_by(told)}") from error


def _is_at_head(connection: Connection) -> bool:
    """A revision that this code does not know belongs to a newer release, whose schema serves this one too."""
    if connection.scalar(text("SELECT to_regclass(:name)"), {"name": VERSION_TABLE}) is None:
        return False
    hidden = connection.scalars(text(_HIDDEN)).all()
    if hidden:
        raise SchemaRefused(f"row security hides all rows of {', '.join(hidden)} from this user")
    current = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return current is not None and (current == KNOWN[-1] or current not in KNOWN)


KNOWN = revisions()
"""As the files were when this process imported its code."""
