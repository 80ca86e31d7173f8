"""How commands stand, as a broker tells it in one look: the topic, its logs, the members of our group, what waits.

Nothing here joins the group or makes a topic. Each function has a client of its own, ends about when its seconds are
over, and raises KafkaUnusable.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from kafka import TopicPartition
from kafka.errors import KafkaError

from app.config.config import Settings
from app.kafka import clients
from app.kafka.broker_view import KafkaView, Member, TopicView
from app.kafka.broker_watch import away
from app.kafka.log_search import LogRecord, kept
from app.kafka.security import name_of
from app.kafka.topics import Bounds
from app.models.operator_errors import KafkaUnusable
from app.utils.deadline import Deadline

POLL_MS = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """`topic`: of the commands, None where it is missing; `bounds`: of the partitions whose leader answers; `members`:
    of our group, None where nothing is told of it."""

    cluster_id: str
    topic: TopicView | None
    bounds: Mapping[int, Bounds]
    members: Sequence[Member] | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Records of the commands topic that wait, how many were read of each partition, and whether these are all."""

    records: Sequence[LogRecord]
    read: Mapping[int, int]
    whole: bool


def standing(settings: Settings, seconds: float) -> Standing:
    """Ask a broker how the commands and our group are."""
    name = settings.commands_topic
    with closing(KafkaView(settings, int(seconds * 1000))) as view:
        try:
            cluster = view.cluster_id()
            topic = view.topics([name]).get(name)
        except KafkaError as error:
            raise KafkaUnusable(f"{away(settings, name_of(error))} ({name_of(error)}).") from None
        if topic is None or topic.error:
            return Standing(cluster, topic, {}, None)
        try:
            members: Sequence[Member] | None = view.members(name)
        except KafkaError:
            members = None
        return Standing(cluster, topic, view.bounds(name, topic), members)


def waiting_records(settings: Settings, ranges: Mapping[int, tuple[int, int]], most: int, seconds: float) -> Waiting:
    """Read the records of these partitions from the first offset up to before the second, `most` of each."""
    deadline, name = Deadline(seconds), settings.commands_topic
    records: list[LogRecord] = []
    read = dict.fromkeys(ranges, 0)
    unread = {number: min(end, begin + most) for number, (begin, end) in ranges.items() if begin < end}
    try:
        with closing(clients.quick_reader(settings, int(seconds * 1000))) as reader:
            reader.assign([TopicPartition(name, number) for number in unread])
            for number in unread:
                reader.seek(TopicPartition(name, number), ranges[number][0])
            while unread and not deadline.passed:
                for place, polled in reader.poll(timeout_ms=POLL_MS).items():
                    wanted = [record for record in polled if record.offset < unread.get(place.partition, 0)]
                    read[place.partition] += len(wanted)
                    records += [kept(place, record) for record in wanted]
                # The marker at the end of a transaction has an offset, and is no record.
                positions = {number: reader.position(TopicPartition(name, number), timeout_ms=0) for number in unread}
                unread = {number: end for number, end in unread.items() if (positions[number] or 0) < end}
    except KafkaError as error:
        raise KafkaUnusable(f"The waiting commands cannot be read ({name_of(error)}).") from None
    whole = not unread and all(end - begin <= most for begin, end in ranges.values())
    return Waiting(records, read, whole)
