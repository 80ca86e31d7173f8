"""A small Kafka: two topics, a group that deals partitions out, and the ports of consumer.py and relay.py on them.

What goes over the wire lands a little later, whatever becomes of its sender; its acknowledgement may come late, without
an offset (a retry that the broker knew already) or never. A member of the group believes what it heard at its last
poll, so two of them can hold the same partition for a while, and a frozen one holds it for as long as it sleeps.
"""

import math
import uuid
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from kafka.errors import KafkaConnectionError

from app.kafka.relay_ports import SendFailed
from app.models.outgoing import LogEnd, Outgoing, Portion, Sent
from app.models.records import Checkpoint, Headers, LogPosition, Record
from app.utils.limits import LEASE_RENEW_SECONDS
from tests.simulation.load import Published
from tests.simulation.scheduler import Instance, Scheduler

PARTITIONS = range(3)
COMMANDS = uuid.UUID(int=1)
EVENTS = uuid.UUID(int=2)
TOPIC = "order_commands"
POLL_SECONDS = 1.0
POLL_RECORDS = 3
SESSION_SECONDS = 6.0
LANDS_SECONDS = 0.3  # at the longest, from the wire into the log: less than a new leader lets it settle
LATE_SECONDS = 3.0
GIVE_UP_SECONDS = 4.0  # the producer's delivery time-out
PATIENCE_SECONDS = 1.0  # for the acknowledgements of all; then a partition is late


class Fate(StrEnum):
    """What becomes of a record that is sent."""

    SOON = "acknowledged"
    LATE = "acknowledged late"
    KNOWN = "acknowledged late, without an offset"
    UNHEARD = "in the log, acknowledgement lost"
    LOST = "not in the log"


@dataclass(slots=True)
class Command:
    """A record of the commands topic. `timestamp` in milliseconds since 1970."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass
class Group:
    """The coordinator: who has which partition, as of which generation."""

    members: dict["CommandTopic", set[int]] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    generation: int = 0


class Broker:
    """Both topics and the group."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.commands: dict[int, list[Command]] = {partition: [] for partition in PARTITIONS}
        self.events: dict[int, list[Outgoing]] = {partition: [] for partition in PARTITIONS}
        self.group = Group()
        self.fates: list[Fate] = []  # of the next records, in this order
        self.still_until = -math.inf  # a follower stands still, in sync on paper; nobody sees what it does not have
        self._seen: dict[int, int] = {}
        self.poll_fails = False
        self.deals = 0
        self.unsaid = 0  # acknowledgements that did not come as they should

    def publish(self, published: Published) -> None:
        """Append a command."""
        offset = self.end(published.partition) + published.gap
        self.scheduler.note("command %s is in the log at %s/%s", published.value, published.partition, offset)
        record = Command(offset, published.timestamp, None, published.value)
        self.commands[published.partition].append(record)

    def end(self, partition: int) -> int:
        """Return the offset after the last command."""
        records = self.commands[partition]
        return records[-1].offset + 1 if records else 0

    def stand_still(self, seconds: float) -> None:
        """Let a follower stand still for a while."""
        self.scheduler.note(f"a follower STANDS STILL for {seconds:.1f} s")
        self._seen = {partition: self.seen(partition) for partition in PARTITIONS}
        self.still_until = self.scheduler.now + seconds

    def seen(self, partition: int) -> int:
        """Return how many events can be read."""
        still = self.scheduler.now < self.still_until
        return self._seen[partition] if still else len(self.events[partition])

    def next_fate(self) -> Fate:
        """Return what becomes of the next record that is sent."""
        fate = self.fates.pop(0) if self.fates else Fate.SOON
        self.unsaid += fate is not Fate.SOON
        return fate

    def share_out(self) -> None:
        """Deal the partitions out anew."""
        members = list(self.group.members)
        self.group.generation += 1
        self.deals += 1
        for member in members:
            self.group.members[member] = set()
        for partition in PARTITIONS if members else ():
            self.group.members[self.scheduler.random.choice(members)].add(partition)
        dealt = ", ".join(f"{member}: {sorted(has)}" for member, has in self.group.members.items())
        self.scheduler.note(f"the group deals out {dealt}")

    def leave(self, member: "CommandTopic") -> None:
        """Take a member out, if it is in."""
        if self.group.members.pop(member, None) is not None:
            self.share_out()

    def expire(self, instance: Instance) -> None:
        """Take out the members of a process that crashed or froze just now, unless it wakes up before."""
        members = [member for member in self.group.members if member.instance is instance]
        frozen = instance.frozen_until > self.scheduler.now

        def look() -> None:
            if not frozen or instance.frozen_until > self.scheduler.now:
                for member in members:
                    self.leave(member)

        self.scheduler.at(self.scheduler.now + SESSION_SECONDS, look)


class CommandTopic:
    """The commands as one member of the group sees them: the port CommandLog."""

    topic = TOPIC

    def __init__(self, broker: Broker) -> None:
        self.instance = broker.scheduler.instance
        self._broker = broker
        self._scheduler = broker.scheduler
        self._generation = -1
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()

    def __repr__(self) -> str:
        return self.instance.name

    def poll(self) -> Mapping[int, Sequence[Record]]:
        """Return some records; the first poll, and the one after a rebalance, joins. Raises KafkaError."""
        polled: dict[int, Sequence[Record]] = self._scheduler.call("poll", self._fetch)
        if self._broker.poll_fails:
            self._broker.poll_fails = False
            raise KafkaConnectionError("the poll failed after it had fetched")
        if not polled:
            self._scheduler.sleep(POLL_SECONDS)
        return polled

    def _fetch(self) -> dict[int, Sequence[Record]]:
        self._follow_group()
        polled: dict[int, Sequence[Record]] = {}
        for partition in sorted(self._positions.keys() - self._paused):
            ready = [it for it in self._broker.commands[partition] if it.offset >= self._positions[partition]]
            records = ready[: self._scheduler.random.randint(1, POLL_RECORDS)]
            if records:
                polled[partition] = records
                self._positions[partition] = records[-1].offset + 1
        return polled

    def _follow_group(self) -> None:
        group = self._broker.group
        if self not in group.members:
            group.members[self] = set()
            self._broker.share_out()
        if self._generation != group.generation:
            self._generation = group.generation
            self._positions = {it: group.committed.get(it, 0) for it in sorted(group.members[self])}
            self._paused.clear()

    def assigned(self) -> set[int]:
        """Return the partitions that were ours at the last poll."""
        return set(self._positions)

    def topic_id(self) -> uuid.UUID:
        """Return the topic's id."""
        return COMMANDS

    ask_topic_id = topic_id

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset and the one after the last."""
        bounds: tuple[int, int] = self._scheduler.call("bounds", lambda: (0, self._broker.end(partition)))
        return bounds

    def checkpoint_at(self, partition: int, offset: int) -> Checkpoint | None:
        """Return the checkpoint of the command at the offset."""
        there = [Checkpoint.of(it) for it in self._broker.commands[partition] if it.offset == offset]
        return there[0] if there else None

    def first_since(self, partition: int, timestamp: int) -> int | None:
        """Return the beginning: no command is old."""
        return 0

    def compacted(self) -> bool:
        """No log loses single commands."""
        return False

    def committed(self, partition: int) -> int | None:
        """Return the group's offset."""
        offset: int | None = self._scheduler.call("committed", lambda: self._broker.group.committed.get(partition))
        return offset

    def seek(self, partition: int, offset: int) -> None:
        """Go to an offset."""
        if partition in self._positions:
            self._positions[partition] = offset
            self._paused.discard(partition)

    def pause(self, partition: int) -> None:
        """Poll nothing from the partition."""
        self._paused.add(partition)

    def commit(self, partition: int, offset: int) -> None:
        """Commit in the group, unless we are no member of its present generation; may get lost."""
        if self._generation == self._broker.group.generation and self._scheduler.random.random() < 0.8:
            self._broker.group.committed[partition] = offset

    def close(self) -> None:
        """Leave the group; a dead process cannot."""
        if not self._scheduler.ending:
            self._broker.leave(self)


class EventTopic:
    """The events as one producer and its reader see them: the port EventLog."""

    topic_id = EVENTS

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._scheduler = broker.scheduler
        self._landed_at: dict[int, float] = {}  # the broker keeps the order of one producer's records
        self._broken: set[int] = set()  # and takes none after one that it misses
        self._late: list[tuple[int, Outgoing, Fate, float]] = []

    def partition(self, record: Outgoing, count: int) -> int:
        """Return the partition of a key."""
        return zlib.crc32(record.key or b"") % count

    def epochs(self) -> Mapping[int, int]:
        """Return the epochs of the leaders, which never change."""
        return dict.fromkeys(PARTITIONS, 0)

    def leader_ends(self, partitions: Collection[int]) -> Mapping[int, LogEnd | str]:
        """Return the ends of the leaders' logs."""
        asked_at = self._scheduler.now
        ends: Mapping[int, LogEnd | str] = self._scheduler.call("ends", partial(self._ends, partitions, asked_at))
        return ends

    def _ends(self, partitions: Collection[int], asked_at: float) -> dict[int, LogEnd | str]:
        return {it: LogEnd(LogPosition(EVENTS, self._end(it)), 0, asked_at) for it in sorted(partitions)}

    def _end(self, partition: int) -> int:
        return len(self._broker.events[partition])

    def read(self, places: Mapping[int, int]) -> Mapping[int, Portion]:
        """Return two records of each partition."""
        portions: Mapping[int, Portion] = self._scheduler.call("read", partial(self._read, places))
        return portions

    def _read(self, places: Mapping[int, int]) -> dict[int, Portion]:
        found = {
            partition: self._broker.events[partition][place : min(place + 2, self._broker.seen(partition))]
            for partition, place in places.items()
        }
        return {
            partition: Portion([record.event_id for record in records], places[partition] + len(records))
            for partition, records in found.items()
            if records
        }

    def done_reading(self) -> None:
        """Nothing is open."""

    def send(
        self, records: Sequence[tuple[int, Outgoing]], require_valid: Callable[[], None], renew: Callable[[], None]
    ) -> Sent:
        """Send all, wait a while; nothing comes between the check of the lease and the wire. Raises SendFailed."""
        for partition, record in records:
            self._scheduler.point("send %s", record.id)
            require_valid()
            self._late.append((partition, record, *self._put_on_wire(partition, record)))
        give_up = self._scheduler.now + PATIENCE_SECONDS
        for _, _, _, answered_at in list(self._late):
            while self._scheduler.now < min(answered_at, give_up):
                self._scheduler.sleep(min(LEASE_RENEW_SECONDS, answered_at - self._scheduler.now))
                renew()
        return self.late()

    def late(self) -> Sent:
        """Return what is acknowledged by now. Raises SendFailed."""
        now = self._scheduler.now
        late: dict[int, list[Outgoing]] = {partition: [] for partition, _, _, _ in self._late}
        done, self._late, before = [], [], self._late
        for it in before:
            if it[3] > now or late[it[0]]:  # or one before it is not acknowledged
                late[it[0]].append(it[1])
                self._late.append(it)
            else:
                done.append(it)
        for _, record, fate, _ in done:
            self._scheduler.point("sent %s: %s", record.id, fate)
            if fate in (Fate.UNHEARD, Fate.LOST):
                raise SendFailed(f"record {record.id}: {fate}")
        return Sent([record for _, record, _, _ in done], self._known_positions(done), late)

    def _known_positions(self, done: Sequence[tuple[int, Outgoing, Fate, float]]) -> dict[int, LogPosition]:
        positions = {}
        for partition, record, fate, _ in done:
            if fate is not Fate.KNOWN:
                place = self._broker.events[partition].index(record)
                positions[partition] = LogPosition(EVENTS, place + 1)
        return positions

    def _put_on_wire(self, partition: int, record: Outgoing) -> tuple[Fate, float]:
        random, now = self._scheduler.random, self._scheduler.now
        fate = Fate.LOST if partition in self._broken else self._broker.next_fate()
        if fate is Fate.LOST:
            self._broken.add(partition)
            return fate, now + GIVE_UP_SECONDS
        lands_at = max(now + LANDS_SECONDS * random.random() ** 3, self._landed_at.get(partition, 0.0))
        self._landed_at[partition] = lands_at

        def land() -> None:
            log = self._broker.events[partition]
            log.append(record)
            self._scheduler.note("record %s is in the log at %s/%s", record.id, partition, len(log) - 1)

        self._scheduler.at(lands_at, land)
        later = {Fate.SOON: 0.0, Fate.UNHEARD: GIVE_UP_SECONDS}.get(fate, LATE_SECONDS * random.random())
        return fate, max(lands_at, self._broker.still_until) + later
