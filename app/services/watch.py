"""The watch: whatever keeps commands or events waiting is shown, with its reason.

In each process it asks the broker every few seconds, and rings for what is directly known: no broker answers, a topic
is missing, a partition has no leader, a right is missing, one of our threads fails. One process at a time compares all
partitions with the stored offsets and looks at the rows that wait; it leaves the numbers for all to show, and rings
when something has waited for 30 s. Alarms last as long as the looks find their cause.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from kafka.errors import KafkaError

from app.config.config import Settings
from app.database.watched import Lane, WatchTable
from app.kafka.broker_view import KafkaView, Member, TopicView
from app.kafka.client_errors import KafkaReasons
from app.kafka.commands_lag import CommandsLag, Waiting
from app.kafka.topic_shape import few_partitions, few_replicas
from app.kafka.topics_check import judge, our_topics, strangers
from app.models.errors import DatabaseError
from app.services.waiting import Progress, explained, listed
from app.utils.alarms import Alarms
from app.utils.limits import RELAY_FAILING_SECONDS, WATCH_LOOK_SECONDS
from app.utils.logging import kafka_is_away
from app.utils.supervisor import Beat, SupervisedThread

log = logging.getLogger(__name__)

EARLY_SECONDS = 4.0  # what has waited for so long while a thread fails waits for that reason
FAILURES = 2
RETRY_SECONDS = 12.0  # a thread that has not failed for so long works again

Found = dict[str, tuple[str, str]]  # sentences and evidence by the names of alarms


class Watch:
    """The work of one thread. `threads`: those of this process; `leads`: the lanes that it relays."""

    def __init__(
        self,
        settings: Settings,
        table: WatchTable,
        alarms: Alarms,
        threads: Callable[[], Sequence[SupervisedThread]],
        leads: Callable[[], Sequence[str]],
    ) -> None:
        self._settings = settings
        self._table = table
        self._alarms = alarms
        self._threads = threads
        self._leads = leads
        self._view = KafkaView(settings)
        self._reasons = KafkaReasons()
        self._commands = CommandsLag(settings.commands_topic, self._view)
        self._progress: dict[str, Progress] = {}
        self._lanes: dict[str, Lane] = {}
        self._lanes_before: dict[str, Lane] = {}
        self._rung: set[str] = set()  # by the last look
        self._suspected: set[str] = set()  # alarms that ring when the next look finds the same
        self.broker: dict[str, Any] = {"ok": False, "reason": "not asked yet"}
        self.topics: dict[str, Any] = {"ok": False, "missing": [], "without_leader": []}

    def run(self, stop: threading.Event, beat: Beat, ready: Callable[[], bool]) -> None:
        """Look until `stop`; `ready` tells whether the database can be asked."""
        with self._reasons:
            try:
                while not stop.is_set():
                    beat()
                    self.look(ready())
                    stop.wait(WATCH_LOOK_SECONDS)
            finally:
                self._leave(ready())
                self._view.close()

    def look(self, ready: bool) -> None:
        """Look once. Blocks for some seconds when somebody does not answer."""
        found: Found = {}
        topics = self._ask_broker(found)
        known = ready and self._try_database(topics, found)
        self._look_at_threads(found)
        for name, (sentence, evidence) in found.items():
            self._alarms.ring(name, sentence, evidence)
        # While the database cannot be asked nothing is known of what waits: such alarms are not renewed, nor cleared.
        gone = {name for name in self._rung - found.keys() if known or "_stalled" not in name}
        for name in gone:
            self._alarms.clear(name)
        self._rung = (self._rung | found.keys()) - gone

    def _try_database(self, topics: Mapping[str, TopicView] | None, found: Found) -> bool:
        try:
            self._ask_database(topics, found)
        except DatabaseError as trouble:
            log.debug("nothing is known of what waits: %s", trouble)
            return False
        return True

    def _ask_broker(self, found: Found) -> dict[str, TopicView] | None:
        try:
            topics = self._view.topics(list(our_topics(self._settings)))
        except KafkaError as error:
            reason = explained(listed([*self._reasons.latest(), f"{type(error).__name__}: {error}"[:200]]))
            self.broker = {"ok": False, "reason": reason}
            kafka_is_away.set()
            self.topics = {"ok": False, "missing": None, "without_leader": None}
            servers = listed(self._settings.bootstrap_servers)
            found["broker_away"] = f"No Kafka broker of {servers} answers", reason
            return None
        self.broker = {"ok": True, "reason": None}
        kafka_is_away.clear()
        self._judge_topics(topics, found)
        return topics

    def _judge_topics(self, topics: Mapping[str, TopicView], found: Found) -> None:
        """Ring for what is found twice: an election, or a topic that the service is making, is over by then."""
        wrong = judge(self._settings, topics)
        alarms = wrong.alarms()
        found |= {name: (sentence, "") for name, sentence in alarms.items() if name in self._suspected}
        self._suspected = set(alarms)
        self._judge_shape(topics, found)
        self.topics = {"ok": not alarms, **asdict(wrong)}

    def _judge_shape(self, topics: Mapping[str, TopicView], found: Found) -> None:
        partitions = few_partitions(topics, self._settings.topic_partitions)
        if partitions:
            found["topic_partitions"] = partitions, ""
        try:
            replicas = few_replicas(topics, self._view.brokers)
        except KafkaError as error:
            log.debug("nothing is known of the brokers: %s", error)
            return
        if replicas:
            found["topic_replication"] = replicas, ""

    def _look_at_threads(self, found: Found) -> None:
        """Ring for what fails here, once something waits for it; while no broker answers that is the reason."""
        if "broker_away" in found:
            return
        for thread in self._threads():
            failed = thread.failures_within(RELAY_FAILING_SECONDS)
            if thread.name == "consumer" and failed >= FAILURES and thread.failures_within(RETRY_SECONDS):
                found["consumer_fails"] = f"The consumer of commands fails: {_reason(thread)}", thread.last_error or ""
            lane = thread.name.removeprefix("relay-")
            if lane == thread.name:
                continue
            reasons = self._reasons.latest(self._topic_of(lane)) if lane in self._leads() else []
            if self._stands(lane) and (failed or reasons):
                reason = explained(listed(reasons)) if reasons else _reason(thread)
                found[f"{lane}_stalled"] = f"{_what(lane)} wait for Kafka: {reason}", self._evidence(lane)

    def _stands(self, lane: str) -> bool:
        """Tell whether the lane's oldest row waits, and is the same as at the last look."""
        now, before = self._lanes.get(lane), self._lanes_before.get(lane)
        if now is None or before is None or now.oldest_id is None:
            return False
        return now.age >= EARLY_SECONDS and now.oldest_id == before.oldest_id

    def _topic_of(self, lane: str) -> str:
        return self._settings.events_topic if lane == "events" else self._settings.dead_letter_topic

    def _ask_database(self, topics: Mapping[str, TopicView] | None, found: Found) -> None:
        holds = self._table.hold()
        self._lanes_before = self._lanes
        self._lanes = self._table.lanes() if holds or self._in_trouble() else {}
        if not holds:
            self._progress.clear()
            self._commands.forget()
            return
        seen: dict[str, Any] = {"lanes": {}, "broker": self.broker, "topics": self.topics}
        for name, lane in self._lanes.items():
            seen["lanes"][name] = {"depth": lane.depth, "oldest_seconds": lane.age}
            if self._progress.setdefault(name, Progress()).look(lane.oldest_id, lane.depth, lane.age):
                self._ring_lane(name, found)
        seen["commands"] = self._look_at_commands(topics, found)
        self._table.tell(seen)

    def _ring_lane(self, lane: str, found: Found) -> None:
        name = f"{lane}_stalled"
        if self._others_ring(name):
            return  # with the reason
        reason = self._known_reason(found, f"relay_{lane}", f"{lane}_partition_")
        found[name] = f"{_what(lane)} wait for Kafka: {reason}", self._evidence(lane)

    def _look_at_commands(self, topics: Mapping[str, TopicView] | None, found: Found) -> dict[str, Any] | None:
        topic = None if topics is None else topics.get(self._settings.commands_topic)
        if topic is None or not topic.leaders:
            return None
        members = self._members()
        foreign = strangers(members)
        if foreign is not None:
            found["foreign_member"] = foreign, ""
        waiting = self._commands.look(topic, self._table.stored(self._settings.commands_topic))
        for partition, it in waiting.items():
            if self._progress.setdefault(f"commands {partition}", Progress()).look(it.first, it.lag or 0, it.seconds):
                self._ring_commands(partition, it, topic, members, found)
        return {
            str(partition): {"lag": it.lag, "oldest_seconds": it.seconds} for partition, it in sorted(waiting.items())
        }

    def _members(self) -> list[Member]:
        try:
            return self._view.members(self._settings.commands_topic)
        except KafkaError as error:
            log.debug("nothing is known of the group: %s", error)
            return []

    def _ring_commands(
        self,
        partition: int,
        waiting: Waiting,
        topic: TopicView,
        members: Sequence[Member],
        found: Found,
    ) -> None:
        owners = [member for member in members if partition in member.partitions]
        reason = self._known_reason(
            found, f"offset_{partition}", f"commands_wait_{partition}", f"partition_{partition}", "consumer_fails"
        )
        if partition in topic.leaderless:
            reason = "the partition has no leader"
        elif waiting.held:
            reason = "an open transaction holds the partition: nothing in it or behind it can be read until it ends"
        elif owners and not owners[0].is_ours:
            reason = f"{owners[0].client_id} at {owners[0].host} has the partition and is not this service"
        elif members and not owners:
            reason = "no member of the group has the partition"
        evidence = f"next {waiting.first}, {waiting.lag} to the end, waiting for {waiting.seconds:.0f} s"
        found[f"commands_stalled_{partition}"] = f"Commands of partition {partition} wait: {reason}", evidence

    def _known_reason(self, found: Mapping[str, tuple[str, str]], *names: str) -> str:
        """Return the sentence of an open alarm that explains it (one whose name begins with `cause_` too), if any."""
        shown = self._alarms.all() | {name: sentence for name, (sentence, _) in found.items()}
        causes = ("broker_away", "topics_missing", "kafka_rights", "partitions_without_leader", *names)
        named = (
            name for cause in causes for name in shown if name == cause or (cause[-1] == "_" and name.startswith(cause))
        )
        return next((shown[name] for name in named), "no reason is known; the log may have one")

    def _others_ring(self, name: str) -> bool:
        return any(it.name == name and it.holder != self._alarms.holder for it in self._alarms.open())

    def _in_trouble(self) -> bool:
        return any(
            thread.name.startswith("relay-") and thread.failures_within(RELAY_FAILING_SECONDS)
            for thread in self._threads()
        ) or bool(self._leads() and self._reasons.latest())

    def _evidence(self, lane: str) -> str:
        waits = self._lanes[lane]
        return f"{waits.depth} wait, the oldest for {waits.age:.0f} s"

    def _leave(self, ready: bool) -> None:
        kafka_is_away.clear()
        for name in self._rung:
            self._alarms.clear(name)
        if ready:
            try:
                self._table.leave()
            except DatabaseError as trouble:
                log.debug("the watch is not given back: %s", trouble)


def _what(lane: str) -> str:
    return lane.replace("_", " ").capitalize()


def _reason(thread: SupervisedThread) -> str:
    return explained(thread.last_error or "no reason is known")
