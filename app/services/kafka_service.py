"""KafkaService: the background work of a process, each piece with a thread of its own."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from app.config.config import Settings
from app.database import lanes
from app.database.alarms import AlarmTable
from app.database.database import Database
from app.database.flow import FlowTable
from app.database.http_refusals import RefusalTable
from app.database.instances import InstanceTable
from app.database.lane_lease import acquire_lease
from app.database.pool import Pool
from app.database.watched import WatchTable, is_watched
from app.kafka.event_topic import open_events
from app.kafka.pulse import Pulse
from app.kafka.relay import Relay
from app.kafka.security import SecretsInUse
from app.models.drills import DrillName
from app.models.errors import DatabaseReadOnly
from app.services.alarms import AlarmKeeper
from app.services.consumer_thread import ConsumerThread
from app.services.drills import Act, Drills, at_any_time, nothing, stop_this_process
from app.services.flow import FlowKeeper
from app.services.housekeeping import Housekeeping, ages
from app.services.known_cluster import KnownCluster
from app.services.presence import Presence
from app.services.refusals import RefusalNotes
from app.services.schema_thread import SchemaThread
from app.services.watch import Watch
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.limits import THREADS_STOP_SECONDS, WORKER_STATEMENT_MS
from app.utils.supervisor import Beat, SupervisedThread, Work
from app.utils.traffic import Traffic

log = logging.getLogger(__name__)

DEAD_LETTER_POLL_SECONDS = 0.5  # nobody waits for one
ALARMS_STOP_SECONDS = 1.0
READ_ONLY = "database_read_only"
READ_ONLY_SECONDS = 1.0  # between two attempts


class KafkaService:
    """The threads of one process. Nothing is opened before `start`, which must come after the fork."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        alarms: Alarms,
        traffic: Traffic,
        callers: Pool | None = None,
        more: Mapping[str, Work] | None = None,
        note_success: Callable[[], None] = lambda: None,
        refusals: RefusalNotes | None = None,
    ) -> None:
        """`callers`: connections by DATABASE_URL, if `database` has an address of its own.

        `more`: work of other parts by the name of its thread, whatever the roles. `note_success`: called after each
        batch of commands, which the database took. `refusals`: what the requests of this process were refused.
        """
        self._settings = settings
        self._database = database
        self._alarms = alarms
        self._note_success = note_success
        books, commands = Pool(database, 1), Pool(database, 2, WORKER_STATEMENT_MS)
        self.schema = SchemaThread(settings, database, books, callers, alarms)
        flow = FlowKeeper(FlowTable(books, alarms.holder), self.leads)
        presence = Presence(InstanceTable(books), alarms.holder, settings.roles, self.own_parts)
        store = partial((refusals or RefusalNotes()).store, RefusalTable(books))
        self._alarm_keeper = AlarmKeeper(alarms, AlarmTable(books), partial(is_watched, books), presence, flow, store)
        self._cluster = KnownCluster(settings, commands, alarms)
        self._secrets = secrets = SecretsInUse(settings)
        self.pulse = Pulse(settings, secrets, alarms)
        answers, handled = self.pulse.answers, self._note_handled
        self._consumer = ConsumerThread(
            settings, secrets, answers, database, commands, self._cluster, alarms, traffic, handled
        )
        self._housekeeping = Housekeeping(Pool(database, 1, WORKER_STATEMENT_MS), partial(ages, settings), alarms)
        watched = WatchTable(Pool(database, 1, durable=False), alarms.holder)
        self.watch = Watch(
            settings, secrets, self.pulse, watched, alarms, lambda: self.threads, self.leads, flow.note_waiting
        )
        self.relays = [
            self._relay(lanes.EVENTS, settings.events_topic, settings.relay_poll_ms / 1000),
            self._relay(lanes.DEAD_LETTERS, settings.dead_letter_topic, DEAD_LETTER_POLL_SECONDS),
        ]
        self._drills = Drills(books, alarms, self._acts(*self.relays))
        self.threads = self._threads(more or {})

    def _threads(self, more: Mapping[str, Work]) -> list[SupervisedThread]:
        is_ready, whenever_ready = self.schema.is_ready, self.schema.whenever_ready
        works: dict[str, Work] = {"schema": self.schema.run, **more}
        if self._settings.consumes:
            works |= {
                "consumer": whenever_ready(self._consumer.run),
                "housekeeping": whenever_ready(self._housekeeping.run),
                "pulse": self.pulse.run,
                "watch": partial(self.watch.run, ready=is_ready),
                **{f"relay-{relay.lane}": whenever_ready(partial(self._run_relay, relay)) for relay in self.relays},
            }
            if self._settings.drills:
                works["drills"] = partial(self._drills.run, ready=is_ready)
        works["alarms"] = partial(self._alarm_keeper.run, ready=is_ready)  # stops last: it stores what the others ring
        return [SupervisedThread(name, work) for name, work in works.items()]

    def _acts(self, events: Relay, letters: Relay) -> Mapping[DrillName, Act]:
        return {
            DrillName.LEADER: Act(lambda: events.leading, events.step_down),
            DrillName.DEAD_LETTER_LEADER: Act(lambda: letters.leading, letters.step_down),
            DrillName.CONSUMER: Act(at_any_time, self._consumer.rejoin),
            DrillName.SESSIONS: Act(at_any_time, nothing),
            DrillName.INSTANCE: Act(at_any_time, stop_this_process),
            DrillName.RECORDS: Act(at_any_time, nothing),
        }

    def _relay(self, lane: lanes.Lane, topic: str, poll_seconds: float) -> Relay:
        return Relay(
            lane.name,
            partial(acquire_lease, self._database, lane, topic, self._settings.relay_batch),
            partial(open_events, self._settings, topic, self._cluster.require),
            self._alarms,
            poll_seconds,
            self._settings.relay_settle_ms / 1000,
            self._settings.relay_batch,
            generation=lambda: self._secrets.generation,
            broker_answers=self.pulse.answers,
        )

    def _run_relay(self, relay: Relay, stop: threading.Event, beat: Beat) -> None:
        """Relay until `stop`, or wait a moment for a database that takes changes; any other trouble raises."""

        def beat_while_writable() -> None:
            beat()
            self._alarms.clear(READ_ONLY)

        try:
            self._cluster.run_or_ring(relay.run, stop, beat_while_writable)
        except DatabaseReadOnly:
            self._alarms.ring(READ_ONLY, "The database is read-only: changes and commands wait, no event leaves")
            stop.wait(READ_ONLY_SECONDS)

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
        deadline = Deadline(THREADS_STOP_SECONDS)
        late = self._stop(self.threads[:-1], deadline)
        late += self._stop(self.threads[-1:], Deadline(max(deadline.remaining, ALARMS_STOP_SECONDS)))
        if late:
            log.error("did not stop in %s s: %s", THREADS_STOP_SECONDS, ", ".join(late))
        log.info("stopped")

    def wake(self) -> None:
        """Say that something to send was committed; returns at once. A leader in another process polls."""
        for relay in self.relays:
            relay.wake()

    def _note_handled(self) -> None:
        self.wake()
        self._note_success()

    def wake_events(self) -> None:
        """As `wake`, if only events were committed: the look for dead letters cost a tenth of a create."""
        self.relays[0].wake()

    def _stop(self, threads: Sequence[SupervisedThread], deadline: Deadline) -> list[str]:
        """Return the names of the threads that did not stop in time."""
        for thread in threads:
            thread.ask_to_stop()
        self.wake()
        self._alarms.wake()
        return [thread.name for thread in threads if not thread.join(max(deadline.remaining, 0))]

    def leads(self) -> list[str]:
        """Return the lanes that this process relays."""
        return [relay.lane for relay in self.relays if relay.leading]

    def own_parts(self) -> dict[str, dict[str, Any]]:
        """Return how the parts of this process are, by what is in its memory alone."""
        parts: dict[str, dict[str, Any]] = {thread.name: thread.part() for thread in self.threads}
        parts["relay"] = {"ok": True, "leads": self.leads()}
        if self._settings.consumes:
            parts |= {"broker": self.pulse.part, "topics": self.watch.topics}
        return parts
