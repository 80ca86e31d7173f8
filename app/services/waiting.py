"""When does what waits ring, and what is said: decisions of the watch, without input and output."""

import re
import time
from collections import deque
from collections.abc import Iterable

WAITING_SECONDS = 30.0
GROWING_SECONDS = 25.0  # what began between two looks has been seen for so long when its first waits for 30 s
LATELY_SECONDS = 8.0
STILL_SECONDS = 2.0  # less than between two looks: what has not moved between two looks stands

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


def names_of_errors(text: str) -> list[str]:
    """Return the names of errors in a text, each once, in that order."""
    return list(dict.fromkeys(_ERROR.findall(text)))


def explained(text: str) -> str:
    """Return the errors that a text names, each with what it means where that is known; else the text.

    Numbers of records and attempts are left out: the same reason must be the same sentence each time.
    """
    known = [f"{name} ({HINTS[name]})" for name in names_of_errors(text) if name in HINTS]
    return ", ".join(known) or text


class Progress:
    """Whether what waits in one place moves. `look` once a look of the watch."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()  # when, what is first, how many

    def look(self, first: int | None, depth: int, age: float) -> bool:
        """Tell whether it has waited too long: for over WAITING_SECONDS, and it stands, or does not get less.

        A long queue that is worked off does not ring, however old its first is. Looks at what is younger count too,
        or a queue that only grows would ring twice as late; but it must have grown of late as well.
        """
        now = time.monotonic()
        if first is None:
            self._samples.clear()
            return False
        before, lately, long_ago = map(self._sample, (STILL_SECONDS, LATELY_SECONDS, GROWING_SECONDS))
        self._samples.append((now, first, depth))
        while len(self._samples) > 1 and now - self._samples[1][0] > GROWING_SECONDS:
            self._samples.popleft()
        stands = before is not None and before[1] == first
        grows = all(it is not None and it[2] <= depth for it in (lately, long_ago))
        return age >= WAITING_SECONDS and (stands or grows)

    def _sample(self, seconds: float) -> tuple[float, int, int] | None:
        """Return the newest that is so old."""
        now = time.monotonic()
        return next((it for it in reversed(self._samples) if now - it[0] >= seconds), None)


class Ends:
    """Since when a partition has had something that waits: how its end grew, as the looks saw it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, first: int, end: int) -> float:
        """Return for how many seconds the record at `first` has been seen to wait, 0 where nothing does."""
        now = time.monotonic()
        if self._seen and end < self._seen[-1][1]:
            self._seen.clear()  # another log
        if not self._seen or self._seen[-1][1] != end:
            self._seen.append((now, end))
        while len(self._seen) > 1 and self._seen[0][1] <= first:
            self._seen.popleft()
        oldest = self._seen[0]
        return now - oldest[0] if oldest[1] > first else 0.0


def listed(numbers: Iterable[object]) -> str:
    """Return them with commas."""
    return ", ".join(map(str, numbers))
