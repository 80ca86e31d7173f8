"""The status strip of the console: five parts of the whole service, each with a word and, if bad, with its cause.

It is made of what the processes tell of themselves, of what the watch saw and of the open alarms. While the database is
away it is made of what this process knows alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.database import lock_waits
from app.database.instances import ServiceSeen, Told, look
from app.database.lock_waits import Blocker
from app.database.pool import Pool
from app.models.errors import DatabaseBusy, DatabaseTrouble
from app.services.kafka_service import KafkaService
from app.services.presence import here_and_missing
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline

LOOK_SECONDS = 0.6
HELD_SECONDS = 1.0  # our own locks are held for milliseconds
MET_SECONDS = 4.0  # the consumer tries again a second after a lock; an end is not said in between

OF_CONSUMER = (
    "consumer_fails",
    "foreign_member",
    "commands_stalled_",
    "commands_wait_",
    "offset_",
    "partition_",
    "dead_letters",
)
"""The alarms of its light, the first that rings is the cause."""

OF_BROKER = ("another_cluster", "topics_missing", "topics_unknown", "partitions_without_leader", "kafka_rights")

Parts = Mapping[str, Any]

GOOD, BAD, UNKNOWN = "good", "bad", "unknown"
AWAY, ANSWERS_BUT = "away", "answers, but"


@dataclass(frozen=True, slots=True)
class Light:
    """One part. `level`: GOOD, BAD or UNKNOWN; `cause`: one sentence, empty where all is well."""

    name: str
    level: str
    word: str
    cause: str = ""


class Locks:
    """Whoever keeps others waiting, as long as they try again."""

    def __init__(self) -> None:
        self._met: Blocker | None = None
        self._until = Deadline(0)

    def met(self, found: Sequence[Blocker]) -> Blocker | None:
        """Return one that has held its lock for HELD_SECONDS, of the last MET_SECONDS if none does so now."""
        long = [one for one in found if (one.seconds if one.held is None else one.held) >= HELD_SECONDS]
        if long:
            self._met, self._until = long[0], Deadline(MET_SECONDS)
        return None if self._until.passed else self._met


@dataclass(frozen=True)
class Strip:
    """Looks for one process. `pool`: connections that no request waits for."""

    pool: Pool
    kafka_service: KafkaService
    alarms: Alarms
    roles: str
    locks: Locks = field(default_factory=Locks)

    def lights(self) -> Sequence[Light]:
        """Return instances, database, broker, consumer and relay. Blocks for LOOK_SECONDS at the longest."""
        deadline = Deadline(LOOK_SECONDS)
        try:
            seen = look(self.pool, deadline)
            locked = self.locks.met(lock_waits.look(self.pool, deadline))
        except DatabaseTrouble as trouble:
            return self._alone(trouble)
        alive, missing = here_and_missing(seen.instances)
        return [
            _instances(alive, missing),
            self._database(seen, locked),
            *self._of_kafka([told.parts for told in alive], seen.watch),
        ]

    def _alone(self, trouble: DatabaseTrouble) -> Sequence[Light]:
        """Return what is known without the database."""
        busy = isinstance(trouble, DatabaseBusy)
        why = trouble.reason if busy else self.pool.away or trouble.reason
        cause = f"The database {'does not answer in time' if busy else 'is away'}: {why}"
        away = Light("database", BAD, "slow" if busy else AWAY, cause)
        only = Light("instances", UNKNOWN, "unknown", "The other instances are not known while the database is away")
        return [only, away, *self._of_kafka([self.kafka_service.own_parts()], {})]

    def _database(self, seen: ServiceSeen, locked: Blocker | None) -> Light:
        if seen.read_only:
            return Light("database", BAD, "read-only", "The database takes no changes: it is a standby, or set so")
        if locked is not None:
            return Light("database", BAD, "locked", locked.sentence)
        cause = self._rung("another_database", "schema", "database_fails", "held_snapshot")
        return Light("database", BAD, ANSWERS_BUT, cause) if cause else Light("database", GOOD, "answers")

    def _of_kafka(self, parts: Sequence[Parts], watch: Parts) -> Iterator[Light]:
        broker = self._broker(parts, watch)
        yield broker
        yield self._consumer(parts, watch, broker)
        yield self._relay(parts, watch, broker)

    def _broker(self, parts: Sequence[Parts], watch: Parts) -> Light:
        views = [part["broker"] for part in parts if "broker" in part] or [watch[k] for k in ("broker",) if k in watch]
        if not views:
            return Light("broker", UNKNOWN, "unknown", "No process tells whether a broker answers")
        away = [view for view in views if not view["ok"]]
        if not away:
            cause = self._rung(*OF_BROKER)
            return Light("broker", BAD, ANSWERS_BUT, cause) if cause else Light("broker", GOOD, "answers")
        word = AWAY if len(away) == len(views) else f"away from {len(away)} of {len(views)}"
        return Light("broker", BAD, word, self._rung("broker_away") or f"No broker answers: {away[0]['reason']}")

    def _consumer(self, parts: Sequence[Parts], watch: Parts, broker: Light) -> Light:
        threads = [part["consumer"] for part in parts if "consumer" in part]
        waiting = sum(partition["lag"] or 0 for partition in (watch.get("commands") or {}).values())
        if not threads:
            return self._nobody("consumer", "handles commands")
        if broker.word == AWAY:
            return Light("consumer", BAD, "waits", "It waits for a broker: no command is handled")
        cause = self._rung(*OF_CONSUMER) or _standing("consumer", threads)
        return _light("consumer", waiting, cause)

    def _relay(self, parts: Sequence[Parts], watch: Parts, broker: Light) -> Light:
        threads = [part["relay-events"] for part in parts if "relay-events" in part]
        if not threads:
            return self._nobody("relay", "sends events")
        waiting = watch.get("lanes", {}).get("events", {}).get("depth", 0)
        if broker.word == AWAY:
            return Light(
                "relay", BAD, _waiting(waiting) if waiting else "waits", "It waits for a broker: no event leaves"
            )
        cause = self._rung("relay_events", "events_stalled", "events_partition_", "dead_letters_stalled")
        cause = cause or _standing("relay", threads)
        leads = {lane for part in parts for lane in part["relay"]["leads"]}
        if not cause and waiting and "events" not in leads:
            cause = "No instance leads the lane of events: another session may hold its lock"
        return _light("relay", waiting, cause)

    def _nobody(self, name: str, does: str) -> Light:
        if self.pool.away and self.roles == "api":
            return Light(name, UNKNOWN, "unknown", "Other processes do this; they are not known now")
        return Light(name, BAD, "nobody", f"No instance {does}: none with ROLES=all or worker tells of itself")

    def _rung(self, *names: str) -> str:
        """Return the sentence of the first that is open; a name that ends with `_` stands for all that begin so."""
        found = self.alarms.all()
        for name in names:
            for open_name, sentence in found.items():
                if open_name == name or (name.endswith("_") and open_name.startswith(name)):
                    return sentence
        return ""


def _light(name: str, waiting: int, cause: str) -> Light:
    return Light(name, BAD if cause else GOOD, _waiting(waiting), cause)


def _standing(name: str, threads: Sequence[Parts]) -> str:
    """Return why the threads of all instances stand still, empty unless all do."""
    if any(thread["ok"] for thread in threads):
        return ""
    return f"The {name} stands still: {threads[0]['last_error'] or 'its heartbeat is too old'}"


def _waiting(rows: int) -> str:
    return f"{rows:,} wait" if rows else "up to date"


def _instances(alive: Sequence[Told], silent: Sequence[Told]) -> Light:
    if not alive and not silent:
        return Light("instances", UNKNOWN, "unknown", "No process has told of itself yet")
    if not silent:
        return Light("instances", GOOD, f"{len(alive)} up")
    lost = silent[0]
    more = f"; {len(silent) - 1} more fell silent before" if len(silent) > 1 else ""
    since = f"{lost.silent:.0f} s"
    cause = f"Process {lost.pid} on {lost.host} has said nothing for {since}: it was killed, or stands still{more}"
    return Light("instances", BAD, f"{len(alive)} up, {len(silent)} silent", cause)
