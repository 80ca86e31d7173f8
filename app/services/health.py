"""The parts of the service, as one process finds them: what is ready, and what waits."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.config.config import Settings
from app.database.pool import Pool
from app.database.watched import Seen, read_seen
from app.models.errors import ConnectingTakesLong, DatabaseBusy, DatabaseFull, DatabaseTrouble
from app.services.api_keys import ApiKeys
from app.services.kafka_service import KafkaService
from app.utils.alarms import Alarms
from app.utils.build import build
from app.utils.deadline import Deadline
from app.utils.metrics import (
    ALARMS,
    BUILD,
    CHECK_AGE,
    CHECK_FINDINGS,
    DEAD_LETTERS_AGE,
    DEAD_LETTERS_UNSENT,
    INSTANCES,
    LAG,
    LAG_SECONDS,
    OUTBOX_AGE,
    OUTBOX_DEPTH,
    SNAPSHOT_AGE,
    Shown,
)

if TYPE_CHECKING:
    from app.services.jwks import ProviderKeys

UNKNOWN = {"ok": False, "reason": "no process of the service watches"}
HAVE_THEIR_OWN = ("schema", "alarms")  # threads whose work is a part of its own


@dataclass(frozen=True)
class Health:
    """The parts of one process.

    `pool` has a connection for health alone: requests may use all others. `api_keys`, `jwks`: None where nobody needs
    one.
    """

    settings: Settings
    pool: Pool
    kafka_service: KafkaService
    alarms: Alarms
    api_keys: ApiKeys | None = None
    jwks: "ProviderKeys | None" = None

    def parts(self, deadline: Deadline) -> dict[str, dict[str, Any]]:
        """Return an entry for each part, with `ok`. Blocks until `deadline` at the longest."""
        return {
            "database": self._database(deadline),
            "schema": self._schema(),
            **{
                thread.name: thread.part() for thread in self.kafka_service.threads if thread.name not in HAVE_THEIR_OWN
            },
            "relay": {"ok": True, "leads": self.kafka_service.leads()},
            **self._kafka(deadline),
            **({"keys": {"ok": self.api_keys.is_known}} if self.api_keys is not None else {}),
            **({self.jwks.name: self.jwks.part()} if self.jwks is not None else {}),
            "alarms": self._open_alarms(),
        }

    def is_ready(self, parts: Mapping[str, Mapping[str, Any]]) -> bool:
        """Tell by the parts whether others may count on this process.

        A worker must have met a broker, so that a rollout stops at one with a wrong password. A broker that goes away
        later makes no process unready: HTTP works without Kafka.
        """
        needed = all(parts[name]["ok"] for name in ("database", "schema", "keys") if name in parts)
        return needed and (self.settings.serves_orders or self.kafka_service.pulse.has_met_broker)

    def measure(self, deadline: Deadline) -> list[Shown]:
        """Return the metrics of the whole service, as the watch saw it last: NaN where that is unknown. Blocks as
        `parts`."""
        seen = self._seen(deadline)
        alarms = ALARMS.shown({(kind,): count for kind, count in self.alarms.by_kind().items()})
        return [*_waiting(seen), *_service(seen), alarms, BUILD.shown({tuple(build().values()): 1})]

    def _kafka(self, deadline: Deadline) -> dict[str, dict[str, Any]]:
        """Return the parts about Kafka: as this process sees it if it speaks to Kafka, else as the watch sees it."""
        seen = self._seen(deadline)
        own = self.settings.consumes
        broker = self.kafka_service.pulse.part if own else seen.get("broker", UNKNOWN)
        topics = self.kafka_service.watch.topics if own else seen.get("topics", UNKNOWN)
        lag = {partition: waiting["lag"] for partition, waiting in (seen.get("commands") or {}).items()}
        return {"broker": broker, "topics": {**topics, "lag": lag}}

    def _seen(self, deadline: Deadline) -> Seen:
        """Return what the watch saw last; nothing where that is not known."""
        try:
            return read_seen(self.pool, deadline) or {}
        except DatabaseTrouble:
            return {}

    def _open_alarms(self) -> dict[str, Any]:
        """Return the alarms of the service; `seconds_old`: when those of other processes were read, None before."""
        found, age = self.alarms.open(), self.alarms.age
        return {
            "ok": not found,
            "open": {alarm.name: alarm.sentence for alarm in found},
            "details": {alarm.name: alarm.as_dict() for alarm in found},
            "seconds_old": None if age is None else round(age, 1),
        }

    def _database(self, deadline: Deadline) -> dict[str, Any]:
        """A database that takes no changes is not ready either. `reason` is for a person, without secrets."""
        try:
            read_only = self.pool.is_read_only(deadline)
        except (ConnectingTakesLong, DatabaseFull) as trouble:
            return {"ok": False, "reason": str(trouble)}
        except DatabaseBusy:  # with other work, so it is not away
            read_only = False
        except DatabaseTrouble as trouble:
            return {"ok": False, "reason": self.pool.away or str(trouble)}
        if read_only:
            self.pool.drop_idle()  # a new connection may find another server, or other defaults
            return {"ok": False, "reason": "it is read-only: orders are read, changes are refused"}
        own, workers = self.pool.away, self.kafka_service.database_away
        if own is not None:  # new connections are refused, and the open ones go on
            return {"ok": True, "reason": own}
        return {"ok": True} if workers is None else {"ok": True, "worker_reason": workers}

    def _schema(self) -> dict[str, Any]:
        part = {"ok": self.kafka_service.schema.is_at_head, "mode": self.settings.schema}
        refusal = self.kafka_service.schema.refusal
        return part | ({"reason": refusal} if refusal else {})


def _waiting(seen: Seen) -> Iterator[Shown]:
    """Yield what waits; what is not known is NaN, because a stale number would say that all is well."""
    for name, depth, age in (
        ("events", OUTBOX_DEPTH, OUTBOX_AGE),
        ("dead_letters", DEAD_LETTERS_UNSENT, DEAD_LETTERS_AGE),
    ):
        lane = seen.get("lanes", {}).get(name, {})
        yield depth.shown(lane.get("depth", math.nan))
        yield age.shown(lane.get("oldest_seconds", math.nan))
    commands = seen.get("commands") or {}
    for gauge, figure in ((LAG, "lag"), (LAG_SECONDS, "lag_seconds")):
        yield gauge.shown({(partition,): _known(queue.get(figure)) for partition, queue in commands.items()})


def _service(seen: Seen) -> Iterator[Shown]:
    check, instances = seen.get("check") or {}, seen.get("instances") or {}
    yield CHECK_FINDINGS.shown(check.get("findings", math.nan))
    yield CHECK_AGE.shown(check.get("age_seconds", math.nan))
    yield SNAPSHOT_AGE.shown(_known(seen.get("snapshot_seconds")))
    yield INSTANCES.shown({(state,): instances.get(state, math.nan) for state in ("here", "silent")})


def _known(value: float | None) -> float:
    return math.nan if value is None else value
