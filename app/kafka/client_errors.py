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
    "GroupAuthorizationFailedError": "Kafka's ACLs forbid the group to the service's user: READ KAFKA_GROUP_ID",
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
    "AuthenticationFailedError": "Kafka refuses the service's user or its password",
}
REFUSALS = {
    "SaslAuthenticationFailedError": "Kafka refuses the service's user or its password: KAFKA_SASL_USERNAME, "
    "KAFKA_SASL_PASSWORD_FILE, KAFKA_SASL_TOKEN_FILE",
    "UnsupportedSaslMechanismError": "the broker does not offer KAFKA_SASL_MECHANISM",
    "IllegalSaslStateError": "the broker's listener has another protocol than KAFKA_SECURITY_PROTOCOL",
    "InvalidReceiveError": "the broker answers in another protocol than KAFKA_SECURITY_PROTOCOL, or too much at once",
    "UntrustedCertificateError": "no CA in KAFKA_SSL_CA_FILE signed the broker's certificate",
    "ExpiredCertificateError": "the broker's certificate, or its CA's in KAFKA_SSL_CA_FILE, is not valid now",
    "HostNameError": "the broker's certificate is for other names than KAFKA_BOOTSTRAP_SERVERS or the broker's "
    "advertised.listeners",
    "OwnCertificateError": "the broker wants another client certificate than KAFKA_SSL_CERTIFICATE_FILE has",
    "TlsError": "the broker's listener speaks no TLS, or another kind: KAFKA_SECURITY_PROTOCOL",
}
"""What keeps clients and brokers from taking each other, and the setting that it is about."""
HINTS |= REFUSALS


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

    def refusal(self) -> str | None:
        """Return why a broker and the client did not take each other of late, None where nothing says so."""
        found = [f"{name} ({REFUSALS[name]})" for name in self.latest() if name in REFUSALS]
        return found[-1] if found else None


def names_of_errors(text: str) -> list[str]:
    """Return the names of errors in a text, each once, in that order."""
    return list(dict.fromkeys(_ERROR.findall(text)))


def is_refusal(text: str) -> bool:
    """Tell whether the text says why Kafka and the client do not take each other."""
    return "KAFKA_S" in text  # the names of the settings about it


def explained(text: str) -> str:
    """Return the errors that a text names, each with what it means where that is known; else the text.

    Numbers of records and attempts are left out: the same reason must be the same sentence each time.
    """
    known = [f"{name} ({HINTS[name]})" for name in names_of_errors(text) if name in HINTS]
    return ", ".join(known) or text
