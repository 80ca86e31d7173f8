"""What is wrong with our topics and the commands' group, as the broker tells it: decisions without input and output."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from app.config.config import Settings
from app.kafka.broker_view import Member, TopicView
from app.utils.text import listed


@dataclass(frozen=True, slots=True)
class TopicsCheck:
    """What is wrong with the topics; nothing where all four are empty."""

    missing: list[str]
    unknown: list[str]
    without_leader: list[str]
    denied: list[str]

    def alarms(self) -> dict[str, str]:
        """Return a sentence by the name of each alarm."""
        sentences = {
            "topics_missing": (self.missing, "Missing in Kafka:"),
            "topics_unknown": (self.unknown, "Kafka tells nothing of"),
            "partitions_without_leader": (self.without_leader, "Without a leader in Kafka:"),
            "kafka_rights": (self.denied, "Kafka's ACLs do not let the service"),
        }
        return {name: f"{words} {listed(found)}" for name, (found, words) in sentences.items() if found}


def our_topics(settings: Settings) -> dict[str, str]:
    """Return the topics with the right that each needs."""
    return {
        settings.commands_topic: "READ",
        settings.events_topic: "WRITE",
        settings.dead_letter_topic: "WRITE",
    }


def judge(settings: Settings, topics: Mapping[str, TopicView]) -> TopicsCheck:
    """Return what is wrong with the topics."""
    rights = {name: topic.rights for name, topic in topics.items() if topic.rights is not None and not topic.missing}
    return TopicsCheck(
        missing=[name for name, topic in topics.items() if topic.missing],
        unknown=[f"{name} ({topic.error})" for name, topic in topics.items() if topic.error and not topic.missing],
        without_leader=[f"{name}/{number}" for name, topic in topics.items() for number in topic.leaderless],
        denied=[
            f"{right} {name}"
            for name, right in our_topics(settings).items()
            if name in rights and right not in rights[name]
        ],
    )


def shape(topics: Mapping[str, TopicView], wanted: int, brokers: Callable[[], int]) -> dict[str, str]:
    """Return a sentence by the name of each alarm about topics that the service would have made in another shape.

    `wanted`: partitions; `brokers`: how many there are, asked where a topic has one replica.
    """
    found = {}
    few = [f"{name} has {len(topic.leaders)}" for name, topic in topics.items() if 0 < len(topic.leaders) < wanted]
    if few:
        found["topic_partitions"] = (
            f"Topics with fewer partitions than KAFKA_TOPIC_PARTITIONS ({wanted}), made by something else: "
            f"{listed(few)}"
        )
    single = [name for name, topic in topics.items() if topic.replicas == 1]
    if single and (count := brokers()) > 1:
        found["topic_replication"] = (
            f"Topics with one replica on {count} brokers: {listed(single)}; its broker gone a partition stops, its "
            "disk gone it is lost (KAFKA_TOPIC_REPLICATION is for topics made from now on)"
        )
    return found


def strangers(members: Iterable[Member]) -> str | None:
    """Return a sentence about members of the group that have partitions and are not this service."""
    foreign = [
        f"{member.client_id} at {member.host} has {listed(sorted(member.partitions))}"
        for member in members
        if not member.is_ours and member.partitions
    ]
    if not foreign:
        return None
    return f"Partitions of the commands are with a member that is not this service: {'; '.join(foreign)}"
