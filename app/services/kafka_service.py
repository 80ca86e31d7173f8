"""KafkaService: owns the threads that speak to Kafka (consumer, one relay a lane) and those that prepare for them."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from kafka.errors import KafkaError
from sqlalchemy.exc import DBAPIError

from app.config.config import Settings
from app.database import lanes, schema
from app.database.alarms import AlarmTable
from app.database.batches import BatchStore
from app.database.database import Database
from app.database.lane_lease import acquire_lease
from app.database.pool import Pool
from app.database.same_database import AnotherDatabase, require_same
from app.database.watched import WatchTable
from app.kafka import command_topic, event_topic, topics
from app.kafka.command_trouble import Breaker
from app.kafka.consumer import CommandConsumer
from app.kafka.relay import Relay
from app.models.errors import DatabaseAway, DatabaseReadOnly, DatabaseTrouble
from app.services import known_cluster
from app.services.alarms import AlarmKeeper
from app.services.command_service import CommandService
from app.services.housekeeping import Housekeeping
from app.services.known_cluster import AnotherCluster, KnownCluster
from app.services.last_look import LastLook
from app.services.watch import Watch
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.limits import THREADS_STOP_SECONDS, WORKER_STATEMENT_MS
from app.utils.logging import Repeats, again
from app.utils.supervisor import Beat, SupervisedThread
from app.utils.traffic import Traffic

log = logging.getLogger(__name__)

DATABASE_PAUSE_SECONDS = 1.0
SCHEMA_PAUSE_SECONDS = 5.0  # between attempts that fail for a reason that a person must mend
RECHECK_SECONDS = 5.0
ANOTHER_CLUSTER_SECONDS = 5.0
DEAD_LETTER_POLL_SECONDS = 0.5  # nobody waits for one
READ_ONLY = "database_read_only"
ANOTHER_DATABASE = "another_database"
ALARMS_STOP_SECONDS = 1.0
HOUR, DAY = 3600.0, 86400.0


class KafkaService:
    """The background work of one process. Nothing is opened before `start`, which must come after the fork."""

    def __init__(
        self, settings: Settings, database: Database, alarms: Alarms, traffic: Traffic, callers: Pool | None = None
    ) -> None:
        """`callers`: connections by DATABASE_URL, where `database` has an address of its own."""
        self._settings = settings
        self._database = database
        self._alarms = alarms
        self._commands = Pool(database, 2, WORKER_STATEMENT_MS)
        self._housekeeping = Housekeeping(Pool(database, 1, WORKER_STATEMENT_MS), self._ages, alarms)
        self._traffic = traffic
        self._callers = callers
        self._books = books = Pool(database, 1)
        self._alarm_keeper = AlarmKeeper(alarms, AlarmTable(books), LastLook(books).ring_if_missing)
        self.watch = Watch(
            settings, WatchTable(Pool(database, 1), alarms.holder), alarms, lambda: self.threads, self._leads
        )
        self._breaker = Breaker()
        self._cluster = KnownCluster(settings, self._commands, alarms)
        self._at_head = threading.Event()
        self._repeats = Repeats()
        self.schema_refusal: str | None = None  # why the schema cannot be brought to head
        self.relays = [
            self._relay(lanes.EVENTS, settings.events_topic, settings.relay_poll_ms / 1000),
            self._relay(lanes.DEAD_LETTERS, settings.dead_letter_topic, DEAD_LETTER_POLL_SECONDS),
        ]
        self.threads = [SupervisedThread("schema", self._keep_schema), SupervisedThread("alarms", self._keep_alarms)]
        if settings.consumes:
            self.threads.append(SupervisedThread("consumer", self._consume_when_ready))
            self.threads.append(SupervisedThread("housekeeping", self._keep_house))
            self.threads.append(SupervisedThread("watch", self._watch))
            self.threads += [
                SupervisedThread(f"relay-{relay.lane}", partial(self._relay_when_ready, relay)) for relay in self.relays
            ]

    @property
    def schema_at_head(self) -> bool:
        """Whether the schema was seen at head since the start."""
        return self._at_head.is_set()

    @property
    def database_away(self) -> str | None:
        """Why the database of the threads is away, in a sentence without secrets; None while it is there."""
        return self._database.reason

    def start(self) -> None:
        """Start the threads; returns at once."""
        log.info("starting %r", self._settings)
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Ask every thread to stop and wait for all, THREADS_STOP_SECONDS at the longest."""
        last = [thread for thread in self.threads if thread.name == "alarms"]  # it tells of what the others ring
        deadline = Deadline(THREADS_STOP_SECONDS)
        late = self._stop([thread for thread in self.threads if thread not in last], deadline)
        late += self._stop(last, Deadline(max(deadline.remaining, ALARMS_STOP_SECONDS)))
        if late:
            log.error("did not stop in %s s: %s", THREADS_STOP_SECONDS, ", ".join(late))
        log.info("stopped")

    def _stop(self, threads: list[SupervisedThread], deadline: Deadline) -> list[str]:
        for thread in threads:
            thread.ask_to_stop()
        self.wake()
        self._alarms.wake()
        return [thread.name for thread in threads if not thread.join(max(deadline.remaining, 0))]

    def wake(self) -> None:
        """Say that something to send was committed; returns at once. A leader elsewhere finds it by its poll."""
        for relay in self.relays:
            relay.wake()

    def wake_events(self) -> None:
        """As `wake`, where only events were committed: the look for dead letters cost a tenth of a create."""
        self.relays[0].wake()

    def _relay(self, lane: lanes.Lane, topic: str, poll_seconds: float) -> Relay:
        return Relay(
            lane.name,
            partial(acquire_lease, self._database, lane, topic, self._settings.relay_batch),
            partial(event_topic.open_events, self._settings, topic, self._cluster.require),
            self._alarms,
            poll_seconds,
            self._settings.relay_settle_ms / 1000,
            full=self._settings.relay_batch,
        )

    def _keep_schema(self, stop: threading.Event, beat: Beat) -> None:
        """Bring the schema to head, or wait until somebody did; then there is nothing left to do but live."""
        while not stop.is_set() and not self._at_head.is_set():
            beat()
            if self._database.wait(stop, DATABASE_PAUSE_SECONDS):
                self._look_at_schema(stop)
        while not stop.wait(1.0):
            beat()

    def _look_at_schema(self, stop: threading.Event) -> None:
        try:
            self._require_one_database()  # before anything is made there
            if self._settings.schema == "ensure":
                schema.migrate(self._settings.worker_url)
            else:
                schema.require_head(self._settings.worker_url)
            self._require_one_database()  # nobody can have told tables apart that were not there
        except schema.SchemaRefused as refusal:
            self._refuse(stop, "schema", f"The schema is not at head: {refusal}", str(refusal))
        except AnotherDatabase as other:
            self._refuse(stop, ANOTHER_DATABASE, f"{other}: no worker starts", str(other))
        except DatabaseTrouble as trouble:
            self._say(logging.INFO, f"the start waits: {trouble.reason}")
            stop.wait(DATABASE_PAUSE_SECONDS)
        except DBAPIError as error:
            self._database.mark_unavailable(error)
        else:
            self.schema_refusal = None
            self._alarms.clear("schema")
            self._alarms.clear(ANOTHER_DATABASE)
            self._at_head.set()

    def _require_one_database(self) -> None:
        if self._callers is not None:
            require_same(self._books, self._callers)

    def _refuse(self, stop: threading.Event, alarm: str, sentence: str, reason: str) -> None:
        if reason != self.schema_refusal:
            log.error("%s", sentence)
        self.schema_refusal = reason
        self._alarms.ring(alarm, sentence)
        stop.wait(SCHEMA_PAUSE_SECONDS)

    def _keep_alarms(self, stop: threading.Event, beat: Beat) -> None:
        self._alarm_keeper.run(stop, beat, self._database_ready)

    def _watch(self, stop: threading.Event, beat: Beat) -> None:
        self.watch.run(stop, beat, self._database_ready)

    def _say(self, level: int, line: str) -> None:
        """Log the line, unless it was said in the last minute."""
        left_out = self._repeats.admit(line)
        if left_out is not None:
            log.log(level, "%s%s", line, again(left_out))

    def _database_ready(self) -> bool:
        return self._at_head.is_set() and self._database.available

    def _leads(self) -> list[str]:
        return [relay.lane for relay in self.relays if relay.leading]

    def _when_ready(self, stop: threading.Event, beat: Beat) -> bool:
        while not stop.is_set():
            beat()
            if self._at_head.wait(0.1) and self._database.wait(stop, 1.0):
                return True
        return False

    def _relay_when_ready(self, relay: Relay, stop: threading.Event, beat: Beat) -> None:
        def beat_on_a_database_that_takes_changes() -> None:
            beat()
            self._alarms.clear(READ_ONLY)

        while self._when_ready(stop, beat):
            try:
                self._with_our_cluster(partial(relay.run, stop, beat_on_a_database_that_takes_changes), stop, beat)
            except DatabaseReadOnly:
                self._alarms.ring(READ_ONLY, "The database is read-only: changes and commands wait, no event leaves")
                stop.wait(DATABASE_PAUSE_SECONDS)

    def _with_our_cluster(self, work: Callable[[], None], stop: threading.Event, beat: Beat) -> None:
        """Do the work; where the cluster is not ours, say so and wait a while instead."""
        try:
            work()
        except AnotherCluster as error:
            self._alarms.ring(known_cluster.ALARM, str(error))
            beat()
            stop.wait(ANOTHER_CLUSTER_SECONDS)

    def _keep_house(self, stop: threading.Event, beat: Beat) -> None:
        while self._when_ready(stop, beat):
            try:
                self._housekeeping.run(stop, beat)
            except DatabaseAway as trouble:
                self._say(logging.INFO, f"housekeeping waits: {trouble}")
                stop.wait(DATABASE_PAUSE_SECONDS)

    def _ages(self) -> dict[str, float | None]:
        settings = self._settings
        try:
            retention = topics.retention_seconds(settings, settings.commands_topic)
        except KafkaError:
            retention = None  # not known now: another time
        redone = retention and max(retention + DAY, settings.command_identity_days * DAY)
        return {
            "idempotency_keys": settings.idempotency_key_hours * HOUR,
            "refused_accepts": settings.refused_accept_seconds + HOUR,
            "dead_letters": settings.dead_letter_days * DAY,
            "given_up_commands": settings.dead_letter_days * DAY,
            "command_identities": redone,
            "known_events": redone,
        }

    def _consume_when_ready(self, stop: threading.Event, beat: Beat) -> None:
        if self._when_ready(stop, beat):
            self._with_our_cluster(partial(self._consume, stop, beat), stop, beat)

    def _consume(self, stop: threading.Event, beat: Beat) -> None:
        """Consume until `stop`. Whatever Kafka raises ends it: the next run begins with a new client."""
        days = self._settings.command_identity_days
        store = BatchStore(self._commands, days)
        with command_topic.open_commands(self._settings, self._cluster.require) as commands:
            consumer = CommandConsumer(commands, store, CommandService(store), self._alarms, self._breaker, days)
            next_recheck = Deadline(RECHECK_SECONDS)
            while not stop.is_set():
                beat()
                began, calls = time.monotonic(), self._traffic.calls
                try:
                    if consumer.step():
                        self.wake()
                        stop.wait(self._traffic.pause_after(time.monotonic() - began, calls))
                    if next_recheck.passed:
                        try:
                            consumer.recheck_offsets()
                        finally:  # after it: however long it took, what comes is handled in between
                            next_recheck = Deadline(RECHECK_SECONDS)
                except DatabaseTrouble as trouble:
                    # Nothing was moved. The member stays in the group, and the records come again.
                    self._say(logging.WARNING, f"commands wait: {trouble.reason}")
                    stop.wait(DATABASE_PAUSE_SECONDS)
                    self._database.wait(stop, DATABASE_PAUSE_SECONDS)
