"""The thread between the memory of this process and the tables that all processes share: alarms, and figures."""

import logging
import threading
from collections.abc import Callable

from app.database.alarms import AlarmTable
from app.models.errors import DatabaseError
from app.services.flow import FlowKeeper
from app.services.presence import Presence
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.limits import ALARM_LOOK_SECONDS
from app.utils.supervisor import Beat

log = logging.getLogger(__name__)

TIDY_SECONDS = 10.0
START_SECONDS = 60.0  # in which some process should have begun to watch


class AlarmKeeper:
    """Keeps memory and table alike; the work of one thread."""

    def __init__(
        self,
        alarms: Alarms,
        table: AlarmTable,
        is_watched: Callable[[], bool] = lambda: True,
        presence: Presence | None = None,
        flow: FlowKeeper | None = None,
        store: Callable[[], None] = lambda: None,
    ) -> None:
        """`is_watched`: whether any process watches; raises DatabaseTrouble. `presence`: tells of this process; `flow`:
        its figures; `store`: what else this process has to store, seconds at the longest."""
        self._alarms = alarms
        self._table = table
        self._is_watched = is_watched
        self._presence = presence
        self._flow = flow
        self._store = store
        self._start = Deadline(START_SECONDS)
        self._trouble: str | None = None

    def run(self, stop: threading.Event, beat: Beat, ready: Callable[[], bool]) -> None:
        """Synchronise until `stop`, whenever the database is `ready`; at the end this process holds no condition."""
        next_tidying = Deadline(0)
        while not stop.is_set():
            beat()
            if self._flow is not None:
                self._flow.look()
            if ready():
                if self._synchronise_or_log(tidy=next_tidying.passed):
                    if next_tidying.passed:
                        next_tidying = Deadline(TIDY_SECONDS)
                    self._store_facts()
                if self._presence is not None:
                    self._presence.tell()
            self._alarms.wait(ALARM_LOOK_SECONDS)
        self._alarms.release()
        if self._flow is not None:
            self._flow.close()
        if ready():
            if self._synchronise_or_log(tidy=False):
                self._store_facts()
            if self._presence is not None:
                self._presence.leave()

    def _store_facts(self) -> None:
        if self._flow is not None:
            self._flow.store()
        self._store()

    def _synchronise_or_log(self, *, tidy: bool) -> bool:
        try:
            self._synchronise()
            if tidy:
                self._table.tidy()
                self._ring_if_nobody_watches()
        except DatabaseError as error:
            reason = error.reason
            if reason != self._trouble:
                log.warning("alarms stay with this process: %s", reason)
            self._trouble = reason
            return False
        self._trouble = None
        return True

    def _ring_if_nobody_watches(self) -> None:
        if self._is_watched():
            self._alarms.clear("watch_missing")
        elif self._start.passed:
            self._alarms.ring("watch_missing", "No process of the service watches: none with ROLES=all or worker runs")

    def _synchronise(self) -> None:
        """Tell the table what is new, and learn what the others ring, which works even if telling fails."""
        try:
            ended, due = self._alarms.unsaved()
            if ended:
                self._table.end(self._alarms.holder, ended)
            if due:
                self._table.keep([update for _, update in due])
            self._alarms.saved((ended, due))
        finally:
            self._alarms.learn(self._table.open())
