"""The thread that does an operator's drills, where DRILLS=1."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.database.drills import take_drill
from app.database.pool import Pool
from app.models.drills import DRILL, DrillName, read_asked, taken
from app.models.errors import DatabaseError
from app.utils.alarms import Alarms
from app.utils.supervisor import Beat

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2  # the alarms are in memory


@dataclass(frozen=True, slots=True)
class Act:
    """What a process does in a drill, and whether it can now."""

    can: Callable[[], bool]
    do: Callable[[], None]


def at_any_time() -> bool:
    """Every process can."""
    return True


def nothing() -> None:
    """The drill is done by the operator's command; the process only lets it."""


def stop_this_process() -> None:
    """Ask this process, and no other, to end as gunicorn's master would. The master starts another worker."""
    os.kill(os.getpid(), signal.SIGTERM)


class Drills:
    """The work of one thread. `acts`: what this process can do in a drill."""

    def __init__(self, pool: Pool, alarms: Alarms, acts: Mapping[DrillName, Act]) -> None:
        self._pool = pool
        self._alarms = alarms
        self._acts = acts

    def run(self, stop: threading.Event, beat: Beat, ready: Callable[[], bool]) -> None:
        """Look for drills until `stop`, whenever the database is `ready`."""
        while not stop.wait(LOOK_SECONDS):
            beat()
            if ready():
                self.look()

    def look(self) -> None:
        """Take the drill that is asked for, if this process can do it, and do it."""
        for alarm in self._alarms.open():
            asked = read_asked(alarm.evidence) if alarm.name == DRILL else None
            act = None if asked is None else self._acts.get(asked[0])
            if asked is None or act is None or not act.can():
                continue
            try:
                mine = take_drill(self._pool, alarm.evidence, taken(*asked, self._alarms.holder))
            except DatabaseError as trouble:
                log.warning("drill %s is not taken: %s", asked[0], trouble.reason)
                continue
            if mine:
                log.warning("drill %s (audit line %s): %s", *asked, alarm.sentence)
                act.do()
