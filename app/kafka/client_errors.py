"""What Kafka's client complains about: its log often names the reason of a failure that it only calls a time-out."""

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

RECENT_SECONDS = 10.0
MOST_REMEMBERED = 50
_ERROR = re.compile(r"\b[A-Z][A-Za-z]+(?:Error|Exception)\b")
HINTS = {
    "InvalidTimestampError": "the clock of this host and the broker's differ by more than the topic allows: "
    "message.timestamp.after.max.ms, message.timestamp.before.max.ms",
    "TopicAuthorizationFailedError": "Kafka's ACLs forbid the topic to the service's user",
    "GroupAuthorizationFailedError": "Kafka's ACLs forbid the group to the service's user",
    "ClusterAuthorizationFailedError": "Kafka's ACLs forbid it to the service's user",
    "NotEnoughReplicasError": "fewer replicas are in sync than the topic's min.insync.replicas",
    "NotEnoughReplicasAfterAppendError": "fewer replicas are in sync than the topic's min.insync.replicas",
    "UnknownTopicOrPartitionError": "the topic is missing",
    "LeaderNotAvailableError": "a partition has no leader",
    "NotLeaderForPartitionError": "a partition is changing its leader",
    "InconsistentGroupProtocolError": "a member of the group that is not this service uses another assignor",
    "KafkaConnectionError": "the broker cannot be reached",
    "NodeNotReadyError": "the broker cannot be reached",
    "NoBrokersAvailable": "the broker cannot be reached",
    "SaslAuthenticationFailedError": "Kafka refuses the service's user or its password",
    "AuthenticationFailedError": "Kafka refuses the service's user or its password",
}


class KafkaReasons(logging.Handler):
    """Listens to the client's warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lock = threading.Lock()
        self._heard: dict[str, tuple[float, str]] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen while the body runs."""
        logger = logging.getLogger("kafka")
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the errors that a line names."""
        message = record.getMessage()
        with self._lock:
            for name in names_of_errors(message):
                self._heard.pop(name, None)
                self._heard[name] = time.monotonic(), message
            while len(self._heard) > MOST_REMEMBERED:
                del self._heard[next(iter(self._heard))]

    def latest(self, words: str = "") -> list[str]:
        """Return the names of errors in the lines of the last RECENT_SECONDS that have the words, the latest last."""
        since = time.monotonic() - RECENT_SECONDS
        with self._lock:
            return [name for name, (at, message) in self._heard.items() if at >= since and words in message]


def names_of_errors(text: str) -> list[str]:
    """Return the names of errors in a text, each once, in that order."""
    return list(dict.fromkeys(_ERROR.findall(text)))


def explained(text: str) -> str:
    """Return the errors that a text names, each with what it means where that is known; else the text.

    Numbers of records and attempts are left out: the same reason must be the same sentence each time.
    """
    known = [f"{name} ({HINTS[name]})" for name in names_of_errors(text) if name in HINTS]
    return ", ".join(known) or text
