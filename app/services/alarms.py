"""The thread between the alarms in the memory of this process and the table that all processes share."""

import logging
import threading
from collections.abc import Callable

from app.database.alarms import AlarmTable
from app.models.errors import DatabaseError
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.limits import ALARM_LOOK_SECONDS
from app.utils.supervisor import Beat

log = logging.getLogger(__name__)

TIDY_SECONDS = 10.0


class AlarmKeeper:
    """Keeps memory and table alike; the work of one thread."""

    def __init__(
        self, alarms: Alarms, table: AlarmTable, now_and_then: Callable[[Alarms], None] = lambda _: None
    ) -> None:
        """`now_and_then`: called every TIDY_SECONDS; may ring, and raise DatabaseTrouble."""
        self._alarms = alarms
        self._table = table
        self._now_and_then = now_and_then
        self._trouble: str | None = None

    def run(self, stop: threading.Event, beat: Beat, ready: Callable[[], bool]) -> None:
        """Synchronise until `stop`, whenever the database is `ready`; at the end this process holds no condition."""
        next_tidying = Deadline(0)
        while not stop.is_set():
            beat()
            if ready() and self._synchronise_or_log(tidy=next_tidying.passed) and next_tidying.passed:
                next_tidying = Deadline(TIDY_SECONDS)
            self._alarms.wait(ALARM_LOOK_SECONDS)
        self._alarms.release()
        if ready():
            self._synchronise_or_log(tidy=False)

    def _synchronise_or_log(self, *, tidy: bool) -> bool:
        try:
            self._synchronise()
            if tidy:
                self._table.tidy()
                self._now_and_then(self._alarms)
        except DatabaseError as error:
            reason = str(error).partition("\n")[0]
            if reason != self._trouble:
                log.warning("alarms stay with this process: %s", reason)
            self._trouble = reason
            return False
        self._trouble = None
        return True

    def _synchronise(self) -> None:
        """Tell the table what is new, and learn what the others ring, which works where telling fails."""
        try:
            unsaved = self._alarms.unsaved()
            if unsaved.ended:
                self._table.end(self._alarms.holder, unsaved.ended)
            if unsaved.due:
                self._table.keep(unsaved.changes)
            self._alarms.saved(unsaved)
        finally:
            self._alarms.learn(self._table.open())
