"""Who keeps other sessions waiting for a lock: the root of each line of waiting sessions."""

from dataclasses import dataclass

from app.database.catalog_looks import BLOCKERS
from app.database.pool import Pool, read
from app.database.statement import Statement
from app.utils.deadline import Deadline
from app.utils.text import counted

LOOK = Statement("look_at_blockers", {}, BLOCKERS)


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session, or a prepared transaction. `mend`: the statement that ends it, or shows it; `blocked`: how many wait;
    `seconds`: the longest of their waits; `held`: since when its transaction is open, None where that is not told."""

    holder: str
    mend: str
    blocked: int
    seconds: float
    held: float | None

    @property
    def sentence(self) -> str:
        """What it does, without a full stop."""
        held = "" if self.held is None else f", whose transaction began {self.held:.0f} s ago,"
        blocked = f"keeps {counted(self.blocked, 'session')} waiting for a lock, for {self.seconds:.0f} s at most"
        return f"{self.holder[:1].upper()}{self.holder[1:]}{held} {blocked}"


def look(pool: Pool, deadline: Deadline) -> list[Blocker]:
    """Return those that keep others waiting now, the most waited for first. Raises DatabaseTrouble."""
    return [Blocker(*row) for row in read(pool, LOOK, (), deadline)]
