"""The watch's questions to Kafka. None raises KafkaError: where no broker answers, less is known."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from kafka.errors import KafkaError

from app.config.config import Settings
from app.kafka.broker_view import KafkaView, Member, TopicView
from app.kafka.client_errors import KafkaReasons, explained
from app.kafka.commands_lag import CommandsLag
from app.kafka.topics_check import our_topics, shape
from app.utils.text import listed

log = logging.getLogger(__name__)


class BrokerWatch:
    """Asks from one thread. Every method may block for some seconds.

    `lag`: the commands that wait; `reasons`: what Kafka's client logs.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._view = KafkaView(settings)
        self.reasons = KafkaReasons()
        self.lag = CommandsLag(settings.commands_topic, self._view)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask in the body; close what was opened at its end."""
        with self.reasons.listening(), closing(self._view):
            yield

    def topics(self) -> dict[str, TopicView] | str:
        """Return what is known of our topics, or why no broker answers."""
        try:
            return self._view.topics(list(our_topics(self._settings)))
        except KafkaError as error:
            return explained(listed([*self.reasons.latest(), f"{type(error).__name__}: {error}"[:200]]))

    def shape(self, topics: Mapping[str, TopicView]) -> dict[str, str]:
        """Return alarms about topics with too few partitions or replicas: no client notices those."""
        return shape(topics, self._settings.topic_partitions, self._brokers)

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
