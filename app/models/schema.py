"""Brings the database to head, or tells that it is not there yet. One migrator at a time, however many start."""

from pathlib import Path

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from app.models.database import IDLE_MS, NETWORK

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
VERSION_TABLE = "order_service_schema"  # not Alembic's default: the service before this one may have used that
_ONE_MIGRATOR = 0x6F726465  # "orde": the advisory lock that every starting process takes first


def is_at_head(url: str) -> bool:
    """Tell whether the schema is at this code's head. Raises SQLAlchemy's errors when the database is away."""
    with create_engine(url, poolclass=NullPool, connect_args=NETWORK).connect() as connection:
        return _is_at_head(connection)


def migrate(url: str) -> None:
    """Bring the schema to head in one transaction, after any other process that is at it.

    Blocks without a limit: a migration of a large table takes its time. Raises SQLAlchemy's errors.
    """
    settings = f"-c timezone=UTC -c statement_timeout=0 -c idle_in_transaction_session_timeout={IDLE_MS}"
    engine = create_engine(url, poolclass=NullPool, connect_args={**NETWORK, "options": settings})
    with engine.begin() as connection:
        if _is_at_head(connection):  # nobody waits for another one's migration without need
            return
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ONE_MIGRATOR})
        if _is_at_head(connection):
            return
        # Most starts find the schema at head and need not pay for the import of Alembic: 0.15 s and 12 MiB.
        from alembic import command
        from alembic.config import Config

        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "head")


def revisions() -> list[str]:
    """Return the revisions that this code knows, the head last: the numbers that the migrations' files begin with."""
    return sorted(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _is_at_head(connection: Connection) -> bool:
    """A revision that this code does not know belongs to a newer release, whose schema serves this one too."""
    if connection.scalar(text("SELECT to_regclass(:name)"), {"name": VERSION_TABLE}) is None:
        return False
    current = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    known = revisions()
    return current is not None and (current == known[-1] or current not in known)
