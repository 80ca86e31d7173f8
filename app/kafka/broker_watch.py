"""The watch's questions to Kafka, and what is wrong with our topics and the commands' group.

No question raises KafkaError: where no broker answers, less is known.
"""

import logging
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

from kafka.errors import KafkaError, TopicAuthorizationFailedError

from app.config.config import Settings
from app.kafka.broker_view import KafkaView, Member, TopicView
from app.kafka.client_errors import KafkaReasons, explained, is_refusal
from app.kafka.commands_lag import CommandsLag
from app.kafka.security import ClientRefused, SecretsInUse
from app.utils.deadline import Deadline
from app.utils.text import listed

log = logging.getLogger(__name__)

CONNECTION_LOST = frozenset({"KafkaConnectionError", "NodeNotReadyError", "NoBrokersAvailable"})
GLANCE_SECONDS = 0.5
LISTENS_SECONDS = 0.3


class BrokerWatch:
    """Asks from one thread. Every method may block for some seconds.

    `lag`: the commands that wait; `reasons`: what Kafka's client logs.
    """

    def __init__(self, settings: Settings, secrets: SecretsInUse) -> None:
        self._settings = settings
        self._secrets = secrets
        self._view = KafkaView(settings)
        self.reasons = KafkaReasons()
        self._lost: str | None = None  # why no broker answers, if `wait` has found it out
        self.lag = CommandsLag(settings.commands_topic, self._view)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask in the body; close what was opened at its end."""
        with self.reasons.listening(), closing(self._view):
            yield

    def topics(self) -> dict[str, TopicView] | str:
        """Return what is known of our topics, or why no broker answers."""
        lost, self._lost = self._lost, None
        if lost is not None:
            return lost
        try:
            self._view.require_life()
            return self._view.topics(list(our_topics(self._settings)))
        except KafkaError as error:
            return self._why(error)

    def wait(self, stop: threading.Event, seconds: float, *, glance: bool) -> None:
        """Wait so long, or until `stop`. With `glance` less long where no broker listens or answers any more: `topics`
        says so then, and does not wait for an answer first."""
        until = Deadline(seconds)
        while self._lost is None and not until.passed and not stop.wait(min(GLANCE_SECONDS, max(until.remaining, 0))):
            self._lost = (self._nobody_listens() or self._nobody_answers()) if glance else None

    def _nobody_listens(self) -> str | None:
        """Return that no broker takes a connection; None where one does, or where Kafka's client complains of nothing.

        A look may take some seconds to find this out. Blocks for a fraction of one.
        """
        if not CONNECTION_LOST.intersection(self.reasons.latest()):
            return None
        for server in self._settings.bootstrap_servers:
            host, _, port = server.rpartition(":")
            with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), LISTENS_SECONDS):
                return None
        return explained("KafkaConnectionError")

    def _nobody_answers(self) -> str | None:
        """Return why no broker says a word; None where one does. A frozen one takes connections and nothing more."""
        try:
            self._view.require_life()
        except KafkaError as error:
            return self._why(error)
        return None

    def _why(self, error: KafkaError) -> str:
        if isinstance(error, ClientRefused):
            return str(error)
        return explained(listed([*self.reasons.latest(), f"{type(error).__name__}: {error}"[:200]]))

    def follow_secrets(self) -> str | None:
        """Have all clients use what the files with secrets hold now, if Kafka takes it. Return why it does not, or why
        a file cannot be used."""
        why = self._secrets.follow(self._view.prove_secrets)
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
