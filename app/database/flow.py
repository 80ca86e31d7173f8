"""The table of figures by minute: what each process did, kept for a day."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from app.database.pool import Pool
from app.database.statement import Statement
from app.models.flow import Figures, Lead, Waiting, Work
from app.utils.deadline import Deadline

CALL_SECONDS = 2.5

# The minute is PostgreSQL's: the clocks of several processes differ. Told again after an error, it stays one row.
KEEP_FIGURES = Statement(
    "keep_figures",
    {"holder": "text", "seconds": "float8", "figures": "text"},
    "INSERT INTO flow_minutes (minute, holder, figures) "
    "VALUES (date_trunc('minute', now() - make_interval(secs => $seconds), 'UTC'), $holder, $figures) "
    "ON CONFLICT (minute, holder) DO UPDATE SET figures = excluded.figures",
)


class FlowTable:
    """Writes the rows of one process."""

    def __init__(self, pool: Pool, holder: str) -> None:
        self._pool = pool
        self._holder = holder

    def keep(self, figures: Figures, seconds: float) -> None:
        """Store what the process did in the minute in which it was `seconds` ago.

        Blocks for CALL_SECONDS at the longest; raises DatabaseError.
        """
        values = (self._holder, seconds, json.dumps(asdict(figures)))
        self._pool.run(KEEP_FIGURES, values, Deadline(CALL_SECONDS))


def to_figures(text: str) -> Figures:
    """Return the figures of a row. What another release calls otherwise is left out."""
    found: dict[str, Any] = json.loads(text)
    return Figures(
        str(found.get("build", "")),
        str(found.get("began", "")),
        Work(**_known(Work, found.get("work"))),
        Waiting(**_known(Waiting, found.get("waiting"))),
        tuple(Lead(lead["lane"], lead["at"]) for lead in found.get("leads", ())),
    )


def _known(kind: type[Work | Waiting], found: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (found or {}).items() if name in kind.__slots__}
