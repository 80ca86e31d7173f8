"""The processes of the service, as each told of itself last."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, or_, select

from app.config.config import Settings
from app.models.operator_errors import NotFound, NotPossible
from app.models.service_tables import instances
from app.operations.audit import AuditedChange, Operator
from app.operations.transaction import transaction
from app.services.presence import LOST_SECONDS, SILENT_SECONDS
from app.utils.spans import span
from app.utils.text import listed

MOST = 200


@dataclass(frozen=True, slots=True)
class Instance:
    """One process. `silent`: seconds since it told of itself, which it does each second; `parts`: by their names, each
    with `ok`, as `/readyz` has them."""

    name: str
    host: str
    pid: int
    version: str
    commit: str
    roles: str
    started_at: datetime
    silent: float
    parts: Mapping[str, Any]

    @property
    def falls_silent(self) -> str | None:
        """What is to be said of a process that has lately fallen silent, without a full stop; else None."""
        if not SILENT_SECONDS < self.silent <= LOST_SECONDS:
            return None
        what = "it stands still, was killed, or cannot reach the database"
        return f"process {self.pid} on {self.host} has said nothing for {span(self.silent)}: {what}"

    def end_or(self, wait: str) -> str:
        """Return what heals its silence; `wait`: what happens without a person, and when."""
        return f"End process {self.pid} on {self.host} (kill -KILL {self.pid}), or wait: {wait}"

    @property
    def complaints(self) -> Mapping[str, str]:
        """Why each part is not well, by its name."""
        return {name: _why(part) for name, part in self.parts.items() if not part.get("ok", True)}

    @property
    def leads(self) -> Sequence[str]:
        """The lanes that it relays."""
        return list(self.parts.get("relay", {}).get("leads", ()))


def find(settings: Settings) -> list[Instance]:
    """Return the processes of the last day, those that were heard of last first, MOST at most.

    Blocks as `transaction` does. Raises DatabaseUnusable. Commits nothing.
    """
    with transaction(settings) as connection:
        return read(connection)


def acknowledge(operator: Operator, names: Iterable[str]) -> list[str]:
    """Take processes that fell silent out of the list, all or none; return the names, each once.

    `names`: HOST:PID, or the whole name. One that speaks again is listed again. Raises NotFound, and NotPossible for a
    process that tells of itself.
    """
    found = list(dict.fromkeys(names))
    with operator.change("acknowledge") as change:
        for name in found:
            _acknowledge(change, name)
    return found


def _acknowledge(change: AuditedChange, name: str) -> None:
    column = instances.c
    named = or_(column.name == name, column.name.startswith(f"{name}:", autoescape=True))
    is_silent = column.seen_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, SILENT_SECONDS)
    gone = change.connection.scalars(delete(instances).where(named, is_silent).returning(column.seen_at)).all()
    if not gone:
        if change.connection.scalar(select(func.count()).select_from(instances).where(named)):
            raise NotPossible(f"Process {name} tells of itself: only one that fell silent is acknowledged.")
        raise NotFound(f"There is no process {name}.")
    change.record(f"instance {name}", f"silent since {max(gone):%Y-%m-%d %H:%M:%S}")


def read(connection: Connection) -> list[Instance]:
    """Do what `find` does, in a transaction of the caller's."""
    column = instances.c
    silent = func.extract("epoch", func.now() - column.seen_at).label("silent")
    query = (
        select(column.name, column.host, column.pid, column.version, column.commit, column.roles, column.started_at)
        .add_columns(silent, column.parts)
        .order_by(column.seen_at.desc(), column.name)
        .limit(MOST)
    )
    return [_instance(row) for row in connection.execute(query)]


def _instance(row: Row[Any]) -> Instance:
    told = {name: value for name, value in row._mapping.items() if name not in ("silent", "parts")}
    return Instance(**told, silent=float(row.silent), parts=json.loads(row.parts))


def _why(part: Mapping[str, Any]) -> str:
    if reason := part.get("reason") or part.get("last_error"):
        return str(reason)
    if "seconds_since_beat" in part:
        return "it stands still: its heartbeat is too old"
    wrong = [
        f"{name.replace('_', ' ')} {listed(found)}" for name, found in part.items() if isinstance(found, list) and found
    ]
    return "; ".join(wrong) or "nothing is known of it"
