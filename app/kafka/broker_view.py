"""What a broker says of our topics and of the commands' group.

Nothing here joins the group, or makes a topic by asking for it.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError, UnknownTopicOrPartitionError, UnsupportedCodecError, for_code

from app.config.config import Settings
from app.kafka import clients
from app.kafka.quirks.connections import Questions, cluster_of
from app.kafka.topics import NO_LEADER, Bounds, bounds, committed_offsets, topic_id_of
from app.utils.deadline import Deadline
from app.utils.limits import SILENT_MS

ASK_MS = 3_000
PEEK_MS = 1_000


@dataclass(frozen=True, slots=True)
class TopicView:
    """One topic. `leaders`: by partition, NO_LEADER where there is none; `rights`: the operations that our user may do,
    None where they are not told; `error`: why nothing is known of the topic; `replicas`: the fewest of a partition."""

    id: uuid.UUID
    leaders: Mapping[int, int]
    rights: frozenset[str] | None = None
    error: str | None = None
    replicas: int = 0

    @property
    def missing(self) -> bool:
        """Whether the topic is not there."""
        return bool(self.error == UnknownTopicOrPartitionError.__name__)

    @property
    def leaderless(self) -> Sequence[int]:
        """The partitions that cannot be written to or read."""
        return sorted(partition for partition, leader in self.leaders.items() if leader == NO_LEADER)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the group with its partitions of the commands."""

    client_id: str
    host: str
    partitions: frozenset[int]

    @property
    def is_ours(self) -> bool:
        """Whether it is an instance of this service, by its client id."""
        return self.client_id.startswith(clients.OUR_CLIENT_ID)


@dataclass(frozen=True, slots=True)
class FirstRecord:
    """`offset` and `timestamp` (ms) of a record, None where none came; `position`: before this offset there is none."""

    offset: int | None
    timestamp: int | None
    position: int


class KafkaView:
    """Asks a broker; use from one thread. Every method raises KafkaError where none answers."""

    def __init__(self, settings: Settings, ask_ms: int = ASK_MS) -> None:
        """`ask_ms`: how long to wait for one answer."""
        self._settings = settings
        self._ask_ms = ask_ms
        self._admin: KafkaAdminClient | None = None

    def topics(self, names: Sequence[str]) -> dict[str, TopicView]:
        """Return what is known of the topics. Blocks up to some seconds."""
        try:
            described = self._client().describe_topics(list(names))
        except KafkaError:
            self.close()  # the broker that it spoke to is gone: another one may answer
            described = self._client().describe_topics(list(names))
        return {topic["name"]: topic_view(topic) for topic in described}

    def require_life(self) -> None:
        """Raise KafkaError where no broker says a word: none answers on an open connection in SILENT_MS and `ask_ms`,
        and no new client comes in meanwhile. Blocks as long; usually for some milliseconds.
        """
        if self._admin is None:
            self._client()
            return
        questions = Questions(self._admin, 2 * (SILENT_MS + self._ask_ms))
        questions.ask()
        if questions.end_within(SILENT_MS) and questions.answered:
            return
        questions.ask_all()
        try:
            self.renew()
        except KafkaError:
            if not questions.answered:
                self.close()
                raise

    def renew(self) -> None:
        """Go on with a new client, which reads the files with secrets. Blocks up to some seconds.

        Raises KafkaError, and then goes on with the old client.
        """
        admin = clients.admin(self._settings, self._ask_ms)
        self.close()
        self._admin = admin

    def cluster_id(self) -> str:
        """Return the cluster's id, empty where it has none. Blocks up to some seconds."""
        return cluster_of(self._client()).get("cluster_id") or ""

    def brokers(self) -> int:
        """Return how many brokers there are. Blocks up to some seconds."""
        return len(cluster_of(self._client())["brokers"])

    def bounds(self, name: str, topic: TopicView) -> dict[int, Bounds]:
        """Return the bounds of the partitions whose leader answers. Blocks up to some seconds per leader."""
        found: dict[int, Bounds] = {}
        for leader in sorted(set(topic.leaders.values()) - {NO_LEADER}):
            led = [partition for partition, led_by in topic.leaders.items() if led_by == leader]
            with suppress(KafkaError):
                found |= bounds(self._client(), name, led, self._ask_ms)
        return found

    def committed(self, name: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the group's committed offsets, where there are any."""
        return committed_offsets(self._client(), self._settings.group_id, name, partitions)

    def members(self, name: str) -> list[Member]:
        group = self._settings.group_id
        described = self._client().describe_groups([group]).get(group, {})
        if described.get("error"):
            raise KafkaError(described["error"])
        return [_member(member, name) for member in described.get("members", ())]

    def first_records(self, name: str, offsets: Mapping[int, int]) -> dict[int, FirstRecord]:
        """Return, by partition, the first committed record from the offset on, of those that come in PEEK_MS.

        The marker at the end of a transaction, and aborted records, have offsets but are none.
        """
        found: dict[int, FirstRecord] = {}
        reader = clients.committed_reader(self._settings)
        places = {TopicPartition(name, partition): offset for partition, offset in offsets.items()}
        until = Deadline(PEEK_MS / 1000)
        try:
            reader.assign(list(places))
            for place, offset in places.items():
                reader.seek(place, offset)
            while len(found) < len(places) and not until.passed:
                for place, (record,) in reader.poll(timeout_ms=int(max(until.remaining, 0) * 1000)).items():
                    found[place.partition] = FirstRecord(record.offset, record.timestamp, record.offset)
                    reader.pause(place)
            for place in places.keys() - {TopicPartition(name, partition) for partition in found}:
                position = reader.position(place, timeout_ms=PEEK_MS)
                found[place.partition] = FirstRecord(None, None, places[place] if position is None else position)
        except (CorruptRecordError, UnsupportedCodecError):  # something is there, whatever it is
            unread = offsets.keys() - found.keys()
            found |= {partition: FirstRecord(offsets[partition], None, offsets[partition]) for partition in unread}
        finally:
            reader.close(autocommit=False, timeout_ms=ASK_MS)
        return found

    def close(self) -> None:
        """Close the connection; the next question opens one."""
        admin, self._admin = self._admin, None
        if admin is not None:
            with suppress(KafkaError):
                admin.close()

    def _client(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = clients.admin(self._settings, self._ask_ms)
        return self._admin


def topic_view(described: Mapping[str, Any]) -> TopicView:
    """Return what the broker has described."""
    topic_id = topic_id_of(described)
    if described["error_code"]:
        return TopicView(topic_id, {}, error=for_code(described["error_code"]).__name__)
    partitions = described["partitions"]
    leaders = {partition["partition_index"]: partition["leader_id"] for partition in partitions}
    replicas = min((len(partition["replica_nodes"]) for partition in partitions), default=0)
    rights = described.get("authorized_operations")
    known = frozenset(map(str, rights)) if isinstance(rights, list) and rights else None
    return TopicView(topic_id, leaders, known, replicas=replicas)


def _member(described: Mapping[str, Any], name: str) -> Member:
    assigned = described.get("member_assignment")
    topics = assigned.get("assigned_partitions", ()) if isinstance(assigned, dict) else ()
    partitions = frozenset(number for topic in topics if topic["topic"] == name for number in topic["partitions"])
    return Member(str(described["client_id"]), str(described["client_host"]).lstrip("/"), partitions)
