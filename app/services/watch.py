"""The watch: whatever keeps commands or events waiting is shown, with its reason.

In each process it asks the broker every few seconds, and rings for what is directly known: a topic is missing, a
partition has no leader, a right is missing, one of our threads fails. One process at a time also compares all
partitions with the stored offsets and looks at the rows that wait; it leaves the numbers for all processes to show, and
rings when something has waited for 30 s. An alarm lasts as long as the looks find its cause. That no broker answers is
found by the pulse (kafka/pulse.py), and explains whatever else is found meanwhile.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.config.config import Settings
from app.database.watched import QueuedRows, WatchTable
from app.kafka.broker_view import Member, TopicView
from app.kafka.broker_watch import BrokerWatch, judge, strangers
from app.kafka.client_errors import explained
from app.kafka.command_trouble import wait_sentence
from app.kafka.commands_lag import UNKNOWN, PartitionLag
from app.kafka.pulse import Pulse
from app.kafka.security import SecretsInUse
from app.models.errors import DatabaseError
from app.services.presence import here_and_missing
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.limits import RELAY_FAILING_SECONDS, WATCH_LOOK_SECONDS
from app.utils.supervisor import Beat, SupervisedThread
from app.utils.text import listed

log = logging.getLogger(__name__)

GLANCE_SECONDS = 0.5  # between two glances at our threads
EARLY_SECONDS = 2.0  # a row that has waited for so long while a thread fails waits for the thread's reason
FAILURES = 2
RETRY_SECONDS = 12.0  # a thread that has not failed for so long works again
WAITING_SECONDS = 30.0
GROWING_SECONDS = 25.0  # what began between two looks has been seen for so long when its first waits for 30 s
LATELY_SECONDS = 8.0
STILL_SECONDS = 1.0  # less than between two looks: what has not moved between two looks stands

CHECK = "check"
"""The alarm of what the consistency check found."""

Found = dict[str, tuple[str, str]]
"""What a look rings for: sentence and evidence by the name of the alarm."""


@dataclass
class Watch:
    """The work of one thread. `threads`: those of this process; `leads`: the lanes that this process relays.

    `tell` is called with each look at what waits; it must not block.
    """

    settings: Settings
    secrets: SecretsInUse
    pulse: Pulse
    table: WatchTable
    alarms: Alarms
    threads: Callable[[], Sequence[SupervisedThread]]
    leads: Callable[[], Sequence[str]]
    tell: Callable[[Mapping[str, Any]], None] = lambda _: None

    def __post_init__(self) -> None:
        self._kafka = BrokerWatch(self.settings, self.secrets)
        self._progress: dict[str, Progress] = {}
        self._lanes: dict[str, QueuedRows] = {}
        self._lanes_before: dict[str, QueuedRows] = {}
        self._rung: set[str] = set()  # by the last look
        self._suspected: set[str] = set()  # alarms that ring when the next look finds the same
        self.topics: dict[str, Any] = {"ok": False, "missing": [], "without_leader": []}
        """What is wrong with our topics, as `/readyz` shows it."""

    def run(self, stop: threading.Event, beat: Beat, ready: Callable[[], bool]) -> None:
        """Look until `stop`; `ready` tells whether the database can be asked."""
        with self._kafka.asking():
            try:
                while not stop.is_set():
                    beat()
                    self.look(ready())
                    self._wait(stop)
            finally:
                self._leave(ready())

    def look(self, ready: bool) -> None:
        """Look once, ring for what is found, and clear what is over. Blocks for some seconds if no broker answers."""
        found: Found = {}
        if (unused := self._kafka.follow_secrets()) is not None:
            found["kafka_secrets"] = unused, ""
        topics = self._ask_broker(found)
        known = False
        if ready:
            try:
                self._look_at_database(topics, found)
                known = True
            except DatabaseError as trouble:
                log.debug("nothing is known of what waits: %s", trouble)
        self._look_at_threads(found)
        for name, (sentence, evidence) in found.items():
            self.alarms.ring(name, sentence, evidence)
        # While the database cannot be asked nothing is known of what waits: such alarms are not renewed, nor cleared.
        gone = {name for name in self._rung - found.keys() if known or not (name == CHECK or "_stalled" in name)}
        for name in gone:
            self.alarms.clear(name)
        self._rung = (self._rung | found.keys()) - gone

    def _wait(self, stop: threading.Event) -> None:
        """Wait until the next look, less long if a thread fails for which nothing rings yet."""
        until = Deadline(WATCH_LOOK_SECONDS)
        while not until.passed and not stop.wait(min(GLANCE_SECONDS, until.remaining)):
            failing: Found = {}
            self._look_at_threads(failing)
            if failing.keys() - self._rung:
                return

    # Kafka, in each process

    def _ask_broker(self, found: Found) -> dict[str, TopicView] | None:
        topics = self._kafka.topics() if self.pulse.answers() else None
        if topics is None:
            self.topics = {"ok": False, "missing": None, "without_leader": None}
            self._suspected = set()
            return None
        wrong = judge(self.settings, topics)
        alarms = wrong.alarms()
        # Two looks must find it: an election, or a topic that the service is making, is over by then.
        found |= {name: (sentence, "") for name, sentence in alarms.items() if name in self._suspected}
        self._suspected = set(alarms)
        found |= {name: (sentence, "") for name, sentence in self._kafka.shape(topics).items()}
        self.topics = {"ok": not alarms, **asdict(wrong)}
        return topics

    # What waits, in one process at a time

    def _look_at_database(self, topics: Mapping[str, TopicView] | None, found: Found) -> None:
        watches = self.table.acquire()
        self._lanes_before = self._lanes
        self._lanes = self.table.lanes() if watches or self._in_trouble() else {}
        if not watches:
            self._progress.clear()
            self._kafka.lag.reset()  # another process has watched meanwhile
            return
        seen: dict[str, Any] = {"lanes": {}, "broker": self.pulse.part, "topics": self.topics}
        for name, lane in self._lanes.items():
            seen["lanes"][name] = {"depth": lane.depth, "oldest_seconds": lane.age, "oldest_id": lane.oldest_id}
            if self._stalls(name, lane.oldest_id, lane.depth, lane.age) and not self._others_ring(f"{name}_stalled"):
                reason = self._known_reason(found, f"relay_{name}", f"{name}_partition_")
                self._find_stalled(name, reason, found)
        seen["commands"] = self._look_at_commands(topics, found)
        seen["check"] = self._look_at_check(found)
        seen["snapshot_seconds"] = self.table.snapshot_seconds()
        seen["instances"] = dict(zip(("here", "silent"), map(len, here_and_missing(self.table.lives())), strict=True))
        self.tell(seen)
        self.table.store_seen(seen)

    def _look_at_commands(self, topics: Mapping[str, TopicView] | None, found: Found) -> dict[str, Any]:
        topic = None if topics is None else topics.get(self.settings.commands_topic)
        if topic is None or not topic.leaders:
            return dict.fromkeys(map(str, self._kafka.lag.partitions), UNKNOWN.figures())
        members = self._kafka.members()
        if (foreign := strangers(members)) is not None:
            found["foreign_member"] = foreign, ""
        queues = self._kafka.lag.look(topic, self.table.stored_offsets(self.settings.commands_topic))
        for partition, queue in queues.items():
            if self._stalls(f"commands {partition}", queue.first, queue.lag or 0, queue.seconds):
                self._ring_commands(partition, queue, topic, members, found)
        return {str(partition): queue.figures() for partition, queue in sorted(queues.items())}

    def _look_at_check(self, found: Found) -> dict[str, Any] | None:
        """Ring for what the last consistency check found, until one finds nothing."""
        last = self.table.last_check()
        if last is None:
            return None
        if last.first is not None:
            more = f", and {last.findings - 1} more" if last.findings > 1 else ""
            see = f"`flask orders jobs show {last.job_id}`"
            found[CHECK] = f"The consistency check found: {last.first}{more} ({see})", f"ended at {last.ended_at}"
        return {"findings": last.findings, "age_seconds": last.age_seconds}

    def _stalls(self, place: str, first: int | None, depth: int, age: float) -> bool:
        return self._progress.setdefault(place, Progress()).look(first, depth, age)

    def _others_ring(self, name: str) -> bool:
        """Tell whether another process rings: it knows the reason."""
        return any(alarm.name == name and alarm.holder != self.alarms.holder for alarm in self.alarms.open())

    def _find_stalled(self, lane: str, reason: str, found: Found) -> None:
        waits = self._lanes[lane]
        sentence = f"{lane.replace('_', ' ').capitalize()} wait for Kafka: {reason}"
        found[f"{lane}_stalled"] = sentence, f"{waits.depth} wait, the oldest for {waits.age:.0f} s"

    def _ring_commands(
        self, partition: int, waiting: PartitionLag, topic: TopicView, members: Sequence[Member], found: Found
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
        found[f"commands_stalled_{partition}"] = wait_sentence(partition, reason), evidence

    def _known_reason(self, found: Mapping[str, tuple[str, str]], *names: str) -> str:
        """Return the sentence of an open alarm that explains the stall, if any.

        Common causes come first, then `names` in their order; a name that ends with `_` stands for all that begin so.
        """
        shown = self.alarms.all() | {name: sentence for name, (sentence, _) in found.items()}
        causes = ("broker_away", "topics_missing", "kafka_rights", "partitions_without_leader", *names)
        named = (
            name for cause in causes for name in shown if name == cause or (cause[-1] == "_" and name.startswith(cause))
        )
        return next((shown[name] for name in named), "no reason is known; the log may have one")

    # Our threads, in each process

    def _look_at_threads(self, found: Found) -> None:
        """Ring for a thread that fails, once something waits for it; a broker that was away explains what was then."""
        if not self.pulse.answers():
            return
        for thread in self.threads():
            failed = thread.failures_within(min(RELAY_FAILING_SECONDS, self.pulse.seconds()))
            if thread.name == "consumer" and failed >= FAILURES and thread.failures_within(RETRY_SECONDS):
                found["consumer_fails"] = f"The consumer of commands fails: {_reason(thread)}", thread.last_error or ""
            lane = thread.name.removeprefix("relay-")
            if lane == thread.name:
                continue
            topic = self.settings.events_topic if lane == "events" else self.settings.dead_letter_topic
            complaints = self._kafka.reasons.latest(topic) if lane in self.leads() else []
            if self._stands(lane) and (failed or complaints):
                self._find_stalled(lane, explained(listed(complaints)) if complaints else _reason(thread), found)

    def _stands(self, lane: str) -> bool:
        """Tell whether the lane's oldest row waits, and is the same as at the last look."""
        now, before = self._lanes.get(lane), self._lanes_before.get(lane)
        if now is None or before is None or now.oldest_id is None:
            return False
        return now.age >= EARLY_SECONDS and now.oldest_id == before.oldest_id

    def _in_trouble(self) -> bool:
        return any(
            thread.name.startswith("relay-") and thread.failures_within(RELAY_FAILING_SECONDS)
            for thread in self.threads()
        ) or bool(self.leads() and self._kafka.reasons.latest())

    def _leave(self, ready: bool) -> None:
        """Clear this process's alarms and let another one watch, because this one ends."""
        for name in self._rung:
            self.alarms.clear(name)
        if ready:
            try:
                self.table.release()
            except DatabaseError as trouble:
                log.debug("the watch is not given back: %s", trouble)


def _reason(thread: SupervisedThread) -> str:
    return explained(thread.last_error or "no reason is known")


class Progress:
    """Whether the queue in one place moves. Call `look` once for each look of the watch."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()  # when, what is first, how many

    def look(self, first: int | None, depth: int, age: float) -> bool:
        """Tell whether the first has waited too long: over WAITING_SECONDS, while the queue stands or does not shrink.

        A long queue that is worked off does not ring, however old its first is. Looks at younger queues count too, or a
        queue that only grows would ring twice as late; but the queue must have grown of late as well.
        """
        now = time.monotonic()
        if first is None:
            self._samples.clear()
            return False
        before, lately, long_ago = map(self._sample, (STILL_SECONDS, LATELY_SECONDS, GROWING_SECONDS))
        self._samples.append((now, first, depth))
        while len(self._samples) > 1 and now - self._samples[1][0] > GROWING_SECONDS:
            self._samples.popleft()
        stands = before is not None and before[1] == first
        grows = all(sample is not None and sample[2] <= depth for sample in (lately, long_ago))
        return age >= WAITING_SECONDS and (stands or grows)

    def _sample(self, seconds: float) -> tuple[float, int, int] | None:
        """Return the newest sample that is so old."""
        now = time.monotonic()
        return next((sample for sample in reversed(self._samples) if now - sample[0] >= seconds), None)
