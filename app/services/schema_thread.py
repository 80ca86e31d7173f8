"""The thread that brings the schema to head, or waits until somebody did. All other threads wait for it."""

import logging
import threading
from contextlib import suppress

from app.config.config import Settings
from app.database import schema
from app.database.database import Database
from app.database.history_index import NotMade, has_history_index, make_history_index
from app.database.pool import Pool
from app.database.same_database import AnotherDatabase, require_same
from app.models.errors import DatabaseAway, DatabaseError, DatabaseTrouble
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.logging import Repeats
from app.utils.supervisor import Beat, Work

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
REFUSED_SECONDS = 5.0  # between attempts that fail for a reason that a person must mend
LOOK_SECONDS = 2.0
ANOTHER_DATABASE = "another_database"


class SchemaThread:
    """`run` is the work of the thread; the rest may be called from any."""

    def __init__(
        self, settings: Settings, database: Database, pool: Pool, callers: Pool | None, alarms: Alarms
    ) -> None:
        """`pool`: connections to `database`; `callers`: by DATABASE_URL, where `database` has an address of its own."""
        self._settings = settings
        self._database = database
        self._pool = pool
        self._callers = callers
        self._alarms = alarms
        self._at_head = threading.Event()
        self._repeats = Repeats()
        self.refusal: str | None = None
        """Why the schema cannot be brought to head."""

    @property
    def is_at_head(self) -> bool:
        """Whether the schema was seen at head since the start."""
        return self._at_head.is_set()

    def is_ready(self) -> bool:
        """Tell whether the other threads can use the database."""
        return self._at_head.is_set() and self._database.available

    def whenever_ready(self, work: Work) -> Work:
        """Return work that waits until the database is ready and then does `work`, again and again until `stop`."""

        def run(stop: threading.Event, beat: Beat) -> None:
            while not stop.is_set():
                beat()
                if self._at_head.wait(0.1) and self._database.wait(stop, 1.0):
                    work(stop, beat)

        return run

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Bring the schema to head, or wait until somebody did; then make the index that a migration left to us."""
        while not stop.is_set() and not self._at_head.is_set():
            beat()
            if self._database.wait(stop, PAUSE_SECONDS):
                self.attempt(stop)
        if not stop.is_set() and self._settings.schema == "ensure":
            self._require_index()
        while not stop.wait(1.0):
            beat()

    def attempt(self, stop: threading.Event) -> None:
        """Try once; where that failed, say why and pause."""
        try:
            self._require_one_database()  # before anything is made there
            if not self._bring_to_head():
                return
            self._require_one_database()  # tables that were not there could not be told apart
        except schema.SchemaRefused as refusal:
            self._refuse(stop, "schema", f"The schema is not at head: {refusal}", str(refusal))
        except AnotherDatabase as other:
            self._refuse(stop, ANOTHER_DATABASE, f"{other}: no worker starts", str(other))
        except DatabaseTrouble as trouble:
            self._repeats.say(log, logging.INFO, f"the start waits: {trouble.reason}")
            stop.wait(PAUSE_SECONDS)
        else:
            self.refusal = None
            self._alarms.clear("schema")
            self._alarms.clear(ANOTHER_DATABASE)
            self._at_head.set()

    def _require_index(self) -> None:
        """Have the index of the history made if it is missing. Nobody waits for it, and the next start tries again."""
        with suppress(DatabaseError):
            if not has_history_index(self._pool, Deadline(LOOK_SECONDS)):
                # By itself, since it cannot be stopped; PostgreSQL ends it soon after this process has ended.
                threading.Thread(target=self._make_index, name="history-index", daemon=True).start()

    def _make_index(self) -> None:
        try:
            make_history_index(self._settings.worker_url)
        except NotMade as reason:
            log.warning("searching stays slow: %s", reason)

    def _require_one_database(self) -> None:
        if self._callers is not None:
            require_same(self._pool, self._callers)

    def _bring_to_head(self) -> bool:
        """Tell whether the schema is at head now; not, where the database is away. Raises SchemaRefused."""
        try:
            if self._settings.schema == "ensure":
                schema.migrate(self._settings.worker_url)
            else:
                schema.require_head(self._settings.worker_url)
        except DatabaseAway as away:
            self._database.mark_unavailable(away)
            return False
        return True

    def _refuse(self, stop: threading.Event, alarm: str, sentence: str, reason: str) -> None:
        if reason != self.refusal:
            log.error("%s", sentence)
        self.refusal = reason
        self._alarms.ring(alarm, sentence)
        stop.wait(REFUSED_SECONDS)
