"""The table of alarms: what every process of the service shows.

A row with a holder is a condition that this process sees. The condition ends when its holder says so, or when its
holder has not renewed it for ALARM_LEASE_SECONDS: the process died, or lost what the condition is about. A row without
a holder is something that happened once; it ends when a person acknowledges it.
"""

from collections.abc import Collection, Sequence

from app.database.arrays import as_columns
from app.database.pool import Pool
from app.database.statement import Statement
from app.utils.alarms import EXPIRED, NOBODY, OVER, Alarm, AlarmUpdate
from app.utils.deadline import Deadline
from app.utils.limits import ALARM_LEASE_SECONDS

KEEP_DAYS = 30  # an alarm that is over, for a person who looks later
MOST_SHOWN = 1000
CALL_SECONDS = 2.5

# A happening that was acknowledged stays so when it is told again in the same words.
_AGAIN = f"a.ended_at IS NOT NULL AND (a.holder <> '{NOBODY}' OR a.sentence <> excluded.sentence)"
_KEEP_COLUMNS = {
    "names": "text[]",
    "holders": "text[]",
    "sentences": "text[]",
    "evidence": "text[]",
    "ages": "bigint[]",
    "counts": "bigint[]",
}
KEEP = Statement(
    "keep_alarms",
    _KEEP_COLUMNS,
    "INSERT INTO alarms AS a (name, holder, sentence, evidence, since, last_at, count) "
    "SELECT name, holder, sentence, evidence, now() - make_interval(secs => age), now(), count "
    "FROM unnest($names, $holders, $sentences, $evidence, $ages, $counts) "
    "AS n (name, holder, sentence, evidence, age, count) ORDER BY name, holder "
    "ON CONFLICT (name, holder) DO UPDATE SET sentence = excluded.sentence, evidence = excluded.evidence, "
    "last_at = now(), "
    f"since = CASE WHEN {_AGAIN} THEN excluded.since ELSE a.since END, "
    f"count = CASE WHEN {_AGAIN} THEN excluded.count ELSE a.count + excluded.count END, "
    f"ended_at = CASE WHEN {_AGAIN} THEN NULL ELSE a.ended_at END, "
    f"ending = CASE WHEN {_AGAIN} THEN NULL ELSE a.ending END",
)
END = Statement(
    "end_alarms",
    {"holder": "text", "names": "text[]"},
    f"UPDATE alarms SET ended_at = now(), ending = '{OVER}' "
    "WHERE holder = $holder AND name = ANY ($names) AND ended_at IS NULL",
)
_LEASE = f"make_interval(secs => {ALARM_LEASE_SECONDS})"
EXPIRE = Statement(
    "expire_alarms",
    {},
    f"UPDATE alarms SET ended_at = now(), ending = '{EXPIRED}' WHERE (name, holder) IN ("
    f"SELECT name, holder FROM alarms WHERE holder <> '{NOBODY}' AND ended_at IS NULL AND last_at < now() - {_LEASE} "
    "FOR UPDATE SKIP LOCKED)",
)
PRUNE = Statement(
    "prune_alarms",
    {},
    "DELETE FROM alarms WHERE (name, holder) IN (SELECT name, holder FROM alarms "
    f"WHERE ended_at < now() - make_interval(days => {KEEP_DAYS}) LIMIT 1000 FOR UPDATE SKIP LOCKED)",
)
OPEN = Statement(
    "open_alarms",
    {},
    "SELECT name, holder, sentence, evidence, since, last_at, count FROM alarms "
    f"WHERE ended_at IS NULL AND (holder = '{NOBODY}' OR last_at >= now() - {_LEASE}) "
    f"ORDER BY last_at DESC LIMIT {MOST_SHOWN}",
)


class AlarmTable:
    """Reads and writes the table. Each call blocks for CALL_SECONDS at the longest and raises DatabaseError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def keep(self, updates: Sequence[AlarmUpdate]) -> None:
        """Write the updates. If they are written again after an error, they count twice, nothing worse."""
        rows = sorted({(update.name, update.holder): update for update in updates}.items())
        values = [(*key, update.sentence, update.evidence, update.age, update.count) for key, update in rows]
        self._pool.run(KEEP, as_columns(values), Deadline(CALL_SECONDS))

    def end(self, holder: str, names: Collection[str]) -> None:
        """Note that the holder's conditions are over."""
        self._pool.run(END, (holder, sorted(names)), Deadline(CALL_SECONDS))

    def tidy(self) -> None:
        """End the conditions that were not renewed, and delete what ended long ago."""
        for statement in (EXPIRE, PRUNE):
            self._pool.run(statement, (), Deadline(CALL_SECONDS))

    def open(self) -> list[Alarm]:
        """Return the open alarms, the latest first, MOST_SHOWN at most."""
        return [Alarm(*row) for row in self._pool.run(OPEN, (), Deadline(CALL_SECONDS))]
