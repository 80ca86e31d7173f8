"""The watch's questions to Kafka. None raises KafkaError: where no broker answers, less is known."""

import logging
from collections.abc import Mapping
from types import TracebackType

from kafka.errors import KafkaError

from app.config.config import Settings
from app.kafka.broker_view import KafkaView, Member, TopicView
from app.kafka.client_errors import KafkaReasons, explained
from app.kafka.commands_lag import CommandsLag, Stored, Waiting
from app.kafka.topics_check import few_partitions, few_replicas, our_topics, single_replicas
from app.utils.text import listed

log = logging.getLogger(__name__)


class BrokerWatch:
    """Asks between `with` and its end, from one thread. Every method may block for some seconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._view = KafkaView(settings)
        self._reasons = KafkaReasons()
        self._lag = CommandsLag(settings.commands_topic, self._view)

    def __enter__(self) -> "BrokerWatch":
        self._reasons.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reasons.__exit__(kind, error, trace)
        self._view.close()

    def topics(self) -> dict[str, TopicView] | str:
        """Return what is known of our topics, or why no broker answers."""
        try:
            return self._view.topics(list(our_topics(self._settings)))
        except KafkaError as error:
            return explained(listed([*self._reasons.latest(), f"{type(error).__name__}: {error}"[:200]]))

    def shape(self, topics: Mapping[str, TopicView]) -> dict[str, str]:
        """Return alarms about topics with too few partitions or replicas: no client notices those."""
        found: dict[str, str | None] = {}
        found["topic_partitions"] = few_partitions(topics, self._settings.topic_partitions)
        if single := single_replicas(topics):
            try:
                found["topic_replication"] = few_replicas(single, self._view.brokers())
            except KafkaError as error:
                log.debug("nothing is known of the brokers: %s", error)
        return {name: sentence for name, sentence in found.items() if sentence is not None}

    def members(self) -> list[Member]:
        """Return the members of the commands' group, none where nothing is known of them."""
        try:
            return self._view.members(self._settings.commands_topic)
        except KafkaError as error:
            log.debug("nothing is known of the group: %s", error)
            return []

    def waiting(self, topic: TopicView, stored: Stored) -> dict[int, Waiting]:
        """Return the commands that wait, by partition."""
        return self._lag.look(topic, stored)

    def forget_waiting(self) -> None:
        """Begin `waiting` anew: another process has watched meanwhile."""
        self._lag.reset()

    def complaints(self, words: str = "") -> list[str]:
        """Return the errors that Kafka's client logged a moment ago, in lines that have the words."""
        return self._reasons.latest(words)
