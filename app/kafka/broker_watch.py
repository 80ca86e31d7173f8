"""The watch's questions to Kafka, and what is wrong with our topics and the commands' group.

No question raises KafkaError: where no broker answers, less is known.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

from kafka.errors import KafkaError, TopicAuthorizationFailedError

from app.config.config import Settings
from app.kafka.broker_view import KafkaView, Member, TopicView
from app.kafka.client_errors import KafkaReasons, is_refusal
from app.kafka.commands_lag import CommandsLag
from app.kafka.security import SecretsInUse
from app.utils.text import listed

log = logging.getLogger(__name__)


class BrokerWatch:
    """Asks from one thread. Every method may block for some seconds.

    `lag`: the commands that wait; `reasons`: what Kafka's client logs.
    """

    def __init__(self, settings: Settings, secrets: SecretsInUse) -> None:
        self._settings = settings
        self._secrets = secrets
        self._view = KafkaView(settings)
        self.reasons = KafkaReasons()
        self.lag = CommandsLag(settings.commands_topic, self._view)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask in the body; close what was opened at its end."""
        with self.reasons.listening(), closing(self._view):
            yield

    def topics(self) -> dict[str, TopicView] | None:
        """Return what is known of our topics, None where no broker answers."""
        try:
            return self._view.topics(list(our_topics(self._settings)))
        except KafkaError as error:
            log.debug("nothing is known of the topics: %s", error)
            return None

    def follow_secrets(self) -> str | None:
        """Have all clients use what the files with secrets hold now, if Kafka takes it. Return why it does not, or why
        a file cannot be used."""
        why = self._secrets.follow(self._view.renew)
        return why and f"The changed files with the secrets for Kafka are not used, the old content is: {why}"

    def shape(self, topics: Mapping[str, TopicView]) -> dict[str, str]:
        """Return a sentence by the name of each alarm about topics that have too few partitions or replicas: no client
        notices those."""
        found, wanted = {}, self._settings.topic_partitions
        few = [f"{name} has {len(topic.leaders)}" for name, topic in topics.items() if 0 < len(topic.leaders) < wanted]
        if few:
            found["topic_partitions"] = (
                f"Topics with fewer partitions than KAFKA_TOPIC_PARTITIONS ({wanted}), made by something else: "
                f"{listed(few)}"
            )
        single = [name for name, topic in topics.items() if topic.replicas == 1]
        if single and (brokers := self._brokers()) > 1:
            found["topic_replication"] = (
                f"Topics with one replica on {brokers} brokers: {listed(single)}; its broker gone a partition stops, "
                "its disk gone it is lost (KAFKA_TOPIC_REPLICATION is for topics made from now on)"
            )
        return found

    def members(self) -> list[Member]:
        """Return the members of the commands' group, none where nothing is known of them."""
        try:
            return self._view.members(self._settings.commands_topic)
        except KafkaError as error:
            log.debug("nothing is known of the group: %s", error)
            return []

    def _brokers(self) -> int:
        try:
            return self._view.brokers()
        except KafkaError as error:
            log.debug("nothing is known of the brokers: %s", error)
            return 0


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


def our_topics(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return the topics with the rights that each needs: what is written is read back."""
    written = ("READ", "WRITE")
    return {settings.commands_topic: ("READ",), settings.events_topic: written, settings.dead_letter_topic: written}


def away(settings: Settings, why: str) -> str:
    """Return a sentence: no broker answers, or none takes the service."""
    brokers = f"No Kafka broker of {listed(settings.bootstrap_servers)}"
    return f"{brokers} takes the service: {why}" if is_refusal(why) else f"{brokers} answers"


def judge(settings: Settings, topics: Mapping[str, TopicView]) -> TopicsCheck:
    """Return what is wrong with the topics."""
    needed = our_topics(settings)
    rights = {name: topic.rights for name, topic in topics.items() if topic.rights is not None and not topic.missing}
    return TopicsCheck(
        missing=[name for name, topic in topics.items() if topic.missing],
        unknown=[
            f"{name} ({topic.error}{_needed(needed[name], topic)})"
            for name, topic in topics.items()
            if topic.error and not topic.missing
        ],
        without_leader=[f"{name}/{number}" for name, topic in topics.items() for number in topic.leaderless],
        denied=[
            f"{right} {name}"
            for name, wanted in needed.items()
            if name in rights
            for right in wanted
            if right not in rights[name]
        ],
    )


def _needed(rights: Iterable[str], topic: TopicView) -> str:
    """Return the rights that the service needs, if it has none."""
    denied = topic.error == TopicAuthorizationFailedError.__name__
    return f": the service needs {' and '.join(rights)}" if denied else ""


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
