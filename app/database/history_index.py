"""The index by which a search finds a change by its correlation id, its event id or its time.

A B-tree takes 95 MiB per million changes for the correlation ids alone, and a third of what a batch of commands costs
PostgreSQL, since the ids of sagas and replies are random. This one (BRIN) keeps a Bloom filter of the ids for each
PAGES pages of the history: 4 MiB per million changes, and next to nothing to write, because autovacuum summarizes pages
when they are full. A look reads the whole index and a thousandth of the history: some ms per million changes
(decision 29).

Where the history is short, the migration makes the index. Where it is long, making it would hold up all writers: then
it is made here, beside them, by whoever migrates.
"""

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.database.connection import engine
from app.database.pool import Pool
from app.database.reasons import reason_of
from app.database.statement import Statement
from app.utils.deadline import Deadline

HISTORY_INDEX = "ix_order_changes_ids"
PAGES = 44
IDS = 2100
"""Changes that PAGES pages hold at most. A page of the index has room for two filters of that size."""
FILTER = f"(n_distinct_per_range={IDS}, false_positive_rate=0.001)"
OPTIONS = {"pages_per_range": PAGES, "autosummarize": "on"}

HISTORY_INDEX_STATE = f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{HISTORY_INDEX}')"
STATE = Statement("history_index", {}, HISTORY_INDEX_STATE)

_MAKE = (
    f"CREATE INDEX CONCURRENTLY {HISTORY_INDEX} ON order_changes USING brin "
    f"(created_at, correlation_id text_bloom_ops {FILTER}, change_id uuid_bloom_ops {FILTER}) "
    f"WITH ({', '.join(f'{name}={value}' for name, value in OPTIONS.items())})"
)
_DROP = f"DROP INDEX CONCURRENTLY {HISTORY_INDEX}"
_ONE_MAKER = "SELECT pg_try_advisory_lock(hashtextextended('history index', 0))"


class NotMade(Exception):
    """The index could not be made; the sentence says why. Searching without it is slow."""


def has_history_index(pool: Pool, deadline: Deadline) -> bool:
    """Tell whether the index is there and whole. Raises DatabaseTrouble."""
    return pool.run(STATE, (), deadline) == [(True,)]


def make_history_index(url: str) -> bool:
    """Make the index if it is missing or was left unfinished. Return False if another process is at it.

    Blocks no writer. Blocks itself for some seconds per ten million changes, and until every transaction has ended that
    was open meanwhile. Raises NotMade.
    """
    try:
        with engine(url).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            return _is_valid(connection) or _make(connection)
    except DBAPIError as error:
        told = getattr(getattr(error.orig, "diag", None), "message_primary", None) or reason_of(error).sentence
        raise NotMade(f"{HISTORY_INDEX} was not made: {told}") from error


def _make(connection: Connection) -> bool:
    if not connection.scalar(text(_ONE_MAKER)):  # the lock ends with the session
        return False
    valid = _is_valid(connection)
    if valid:
        return True
    if valid is not None:  # whoever made it was stopped
        connection.execute(text(_DROP))
    connection.execute(text(_MAKE))
    return True


def _is_valid(connection: Connection) -> bool | None:
    """Return None if there is no such index."""
    found: bool | None = connection.scalar(text(HISTORY_INDEX_STATE))
    return found
