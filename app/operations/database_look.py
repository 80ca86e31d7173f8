"""What PostgreSQL suffers from, as a page of sentences: each says whether all is well, and what mends it if not."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from app.config.config import Settings
from app.database import catalog_looks as sql
from app.database.lock_waits import Blocker
from app.database.retention import HORIZON
from app.models.models import db
from app.models.operator_errors import DatabaseUnusable
from app.operations import guarded
from app.operations.guarded import NotAsked
from app.operations.transaction import transaction
from app.services import horizon
from app.utils.text import listed

SECONDS = 3
WAITING_SECONDS = 1.0  # behind a lock: the service's own locks are held for milliseconds
LONG_SECONDS = 60
MANY_ROWS = 10_000
FULL = 0.9  # of the connections
RETAINED_BYTES = 1 << 30  # by a slot that somebody reads
OLD = 1.5  # times the age at which autovacuum begins to freeze
EMPTIED = ("outbox", "order_count_deltas", "order_counts")
"""The tables whose dead rows cost time, and not only space."""
OUR_NAME = "order-service"


@dataclass(frozen=True, slots=True)
class Remark:
    """One sentence. `ok` is None where nothing is known: a missing right, a lock; `mend`: a query or command."""

    name: str
    ok: bool | None
    sentence: str
    mend: str | None = None


def look(settings: Settings) -> Sequence[Remark]:
    """Return what is to be said of the database, always something; changes nothing and raises nothing of its own.

    Blocks for 4 s at the longest, and waits 0.3 s for a lock. A user with few rights gets what it may see.
    """
    found: list[Remark] = []
    try:
        with transaction(settings, SECONDS) as connection:
            connection.execute(text(sql.LIMITS))
            for name, question in _LOOKS.items():
                found += _asked(connection, name, question)
    except DatabaseUnusable as failure:
        found.append(Remark("answers", False, str(failure)))
    return found


def _asked(connection: Connection, name: str, question: Callable[[Connection], Iterable[Remark]]) -> list[Remark]:
    """Return the remarks of one look. What it cannot ask leaves the others as they are."""
    try:
        return guarded.ask(connection, lambda asked: list(question(asked)))
    except NotAsked as reason:
        return [Remark(name, None, f"This could not be asked: {reason}.")]


def _rows(connection: Connection, query: str, **values: Any) -> Sequence[Row[Any]]:
    return connection.execute(text(query), values).all()


def _writes(connection: Connection) -> Iterable[Remark]:
    (row,) = _rows(connection, sql.WRITES)
    what = f"Database {row.name} on PostgreSQL {row.version}"
    if row.standby:
        mend = (
            "DATABASE_URL with ?target_session_attrs=read-write; where there is no other primary: SELECT pg_promote()"
        )
        yield Remark("writes", False, f"{what} is a hot standby: it takes no changes.", mend)
    elif row.read_only:
        yield Remark("writes", False, f"{what} is read-only by default_transaction_read_only.", row.mend)
    else:
        yield Remark("writes", True, f"{what} answers and takes changes.")


def _rights(connection: Connection) -> Iterable[Remark]:
    (row,) = _rows(connection, sql.RIGHTS)
    if not row.sees_all:
        hidden = "of other users' sessions it is not told state, kind and begin, so less is found below"
        yield Remark("rights", None, f"User {row.name} lacks the role pg_read_all_stats: {hidden}.", row.mend)


def _horizon(connection: Connection) -> Iterable[Remark]:
    """Say who holds the oldest snapshot, by the limits of the alarm `held_snapshot`."""
    for holder, mend, xmin, began, seconds, idle, age, dead in map(tuple, _rows(connection, HORIZON.sql)):
        stands = age >= horizon.MOVED_ON if seconds is None else seconds >= horizon.HELD_SECONDS
        if stands or idle >= horizon.FORGOTTEN_SECONDS or dead >= horizon.MANY:
            since = f"since {began} UTC" if began else f"of transaction {xmin}"
            kept = f"{dead} dead rows of outbox and counts, and what is deleted from now on, cannot be removed"
            yield Remark("horizon", False, f"{_upper(holder)} holds a snapshot {since}: {kept}.", mend)
            return
    yield Remark("horizon", True, "Nobody has held a snapshot for long: deleted rows can be removed.")


def _locks(connection: Connection) -> Iterable[Remark]:
    found = [Blocker(*tuple(row)) for row in _rows(connection, sql.BLOCKERS)]
    long = [blocker for blocker in found if blocker.seconds >= WAITING_SECONDS]
    for blocker in long:
        yield Remark("locks", False, f"{blocker.sentence}.", blocker.mend)
    if not long:
        yield Remark("locks", True, f"No session has waited {WAITING_SECONDS:.0f} s for a lock.")


def _vacuum(connection: Connection) -> Iterable[Remark]:
    behind = 0
    for row in _rows(connection, sql.VACUUM, tables=_tables()):
        last = "was never vacuumed" if row.seconds is None else f"was vacuumed {row.seconds:.0f} s ago"
        most = max(MANY_ROWS, 2 * row.threshold, 0 if row.name in EMPTIED else row.live)
        if not row.automatic and row.name in EMPTIED:
            yield Remark(
                "vacuum", False, f"Autovacuum is off for {row.name}, which is emptied all the time.", row.switch_on
            )
        elif row.dead > most:
            work = "a vacuum is at work" if row.running else f"it {last}, and autovacuum begins at {row.threshold}"
            yield Remark("vacuum", False, f"{row.name} has {row.dead} dead rows beside {row.live}: {work}.", row.mend)
        else:
            continue
        behind += 1
    if not behind:
        yield Remark("vacuum", True, f"Autovacuum keeps up: {listed(EMPTIED)} and the other tables have few dead rows.")


def _counts(connection: Connection) -> Iterable[Remark]:
    (row,) = _rows(connection, sql.DELTAS, most=MANY_ROWS)
    if row.waiting >= MANY_ROWS:
        sentence = (
            f"{MANY_ROWS} changes and more wait to be counted: housekeeping of no worker does so, and lists get slow."
        )
        yield Remark("counts", False, sentence, "flask orders alarms; start an instance with ROLES=all or worker")
    else:
        yield Remark("counts", True, f"{row.waiting} changes wait to be counted.")


def _slots(connection: Connection) -> Iterable[Remark]:
    slots = _rows(connection, sql.SLOTS)
    wrong = 0
    for row in slots:
        if row.status == "lost":
            trouble = "has lost WAL that its reader needs: that replica must be made anew"
        elif not row.active:
            trouble = f"is read by nobody and keeps {row.size} of WAL: it fills the disk in the end"
        elif row.retained >= RETAINED_BYTES:
            trouble = f"is read too slowly and keeps {row.size} of WAL"
        else:
            continue
        wrong += 1
        yield Remark("slots", False, f"Replication slot {row.name} {trouble}.", row.mend)
    if not wrong:
        kept = listed([f"{row.name} keeps {row.size}" for row in slots])
        yield Remark("slots", True, f"Replication slots keep little WAL: {kept}." if slots else "No replication slot.")


def _connections(connection: Connection) -> Iterable[Remark]:
    rows = _rows(connection, sql.CONNECTIONS)
    used, of_user, first = sum(row.used for row in rows), sum(row.ours for row in rows), rows[0]
    named = [f"{row.name} {row.used}" for row in rows]
    ours = sum(row.used for row in rows if row.name.startswith(OUR_NAME))
    mend = "SELECT application_name, usename, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC"
    what = f"{used} of {first.most} connections are used, {ours} by this service ({listed(named)})"
    limited = first.most_of_user is not None and first.most_of_user >= 0
    if limited and of_user >= FULL * first.most_of_user:
        yield Remark(
            "connections", False, f"This user has {of_user} of its {first.most_of_user} connections: {what}.", mend
        )
    else:
        few = used >= FULL * first.most
        yield Remark("connections", not few, f"{what}.", mend if few else None)


def _transactions(connection: Connection) -> Iterable[Remark]:
    rows = _rows(connection, sql.LONG_TRANSACTIONS, seconds=LONG_SECONDS)
    for row in rows:
        sentence = f"{_upper(row.holder)} has been in a transaction for {row.seconds:.0f} s."
        yield Remark("transactions", False, sentence, row.mend)
    (user,) = _rows(connection, sql.RIGHTS)
    if not user.sees_all:
        yield Remark("transactions", None, "How old the transactions of other users are is not told.", user.mend)
    elif not rows:
        yield Remark("transactions", True, f"No transaction is older than {LONG_SECONDS} s.")


def _sizes(connection: Connection) -> Iterable[Remark]:
    named = [f"{row.name} {row.size}" for row in _rows(connection, sql.SIZES, tables=_tables())]
    yield Remark("sizes", True, f"The largest tables with their indexes: {listed(named[:5]) or 'none'}.")


def _age(connection: Connection) -> Iterable[Remark]:
    (row,) = _rows(connection, sql.AGE)
    old = row.age > OLD * row.most
    what = f"The oldest transaction id is {row.age} old, autovacuum freezes from {row.most} on"
    if old:
        yield Remark(
            "age", False, f"{what} and does not get to it; at 2 billion PostgreSQL takes no changes.", row.mend
        )
    else:
        yield Remark("age", True, f"{what}.")


def _damage(connection: Connection) -> Iterable[Remark]:
    (row,) = _rows(connection, sql.DAMAGE)
    if row.failures:
        sentence = (
            f"{row.failures} pages with a wrong checksum were read, the last at {row.last}: look at disk and memory."
        )
        yield Remark("damage", False, sentence, row.mend)
    elif row.checked:
        yield Remark("damage", True, "No page with a wrong checksum was read.")
    else:
        yield Remark("damage", None, "Data checksums are off: damage to pages is not noticed.", "pg_checksums --enable")


def _tables() -> list[str]:
    return sorted(db.metadata.tables)


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]


_LOOKS: dict[str, Callable[[Connection], Iterable[Remark]]] = {
    look.__name__.removeprefix("_"): look
    for look in (
        _writes,
        _rights,
        _horizon,
        _locks,
        _transactions,
        _vacuum,
        _counts,
        _slots,
        _connections,
        _age,
        _damage,
        _sizes,
    )
}
