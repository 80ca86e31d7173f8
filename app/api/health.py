"""What an operator asks: alive, ready, how much. `/health` is the callers' and says only that somebody answers [H2]."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from app.api.errors import Response, respond
from app.api.requests import Request
from app.api.routes import Endpoint
from app.config.config import Settings
from app.database.pool import Pool
from app.database.statements import READ_ONLY
from app.database.watched import Seen, read_seen
from app.models.errors import ConnectingTakesLong, DatabaseBusy, DatabaseError, DatabaseFull, DatabaseTrouble
from app.models.writes import HttpAnswer
from app.services import gauges
from app.services.kafka_service import KafkaService
from app.utils.alarms import Alarms
from app.utils.build import build
from app.utils.deadline import Deadline
from app.utils.limits import REQUEST_SECONDS, WATCH_STALE_SECONDS
from app.utils.metrics import REQUEST_SECONDS as REQUEST_HISTOGRAM
from app.utils.metrics import REQUESTS
from app.wire.encoder import encode

STALE_SECONDS = 30.0
UNKNOWN = {"ok": False, "reason": "no process of the service watches"}
HAVE_THEIR_OWN = ("schema", "alarms")  # threads that are shown by what they do


@dataclass(frozen=True)
class Health:
    """Looks at the parts of one process. `pool`: a connection of its own, as callers may have taken all others."""

    settings: Settings
    pool: Pool
    kafka_service: KafkaService
    alarms: Alarms

    def parts(self, deadline: Deadline) -> dict[str, dict[str, Any]]:
        """Return one entry a part, each with `ok`. Blocks until `deadline` at the longest."""
        return {
            "database": self._database(deadline),
            "schema": self._schema(),
            **{
                thread.name: _thread(thread)
                for thread in self.kafka_service.threads
                if thread.name not in HAVE_THEIR_OWN
            },
            "relay": {"ok": True, "leads": [relay.lane for relay in self.kafka_service.relays if relay.leading]},
            **self._kafka(deadline),
            "alarms": self._open_alarms(),
        }

    def measure(self, deadline: Deadline) -> None:
        """Set the gauges of what waits to what the watch saw last, and to NaN where that is not known."""
        gauges.show(self._seen(deadline))

    def _seen(self, deadline: Deadline) -> Seen | None:
        """Return what the watch of the service saw in the last WATCH_STALE_SECONDS, None where there is nothing."""
        try:
            found = read_seen(self.pool, deadline)
        except DatabaseError:
            return None
        return found[0] if found is not None and found[1] < WATCH_STALE_SECONDS else None

    def _kafka(self, deadline: Deadline) -> dict[str, dict[str, Any]]:
        """Return the parts about Kafka: as this process sees it where it speaks to it, else as the watch does."""
        seen = self._seen(deadline) or {}
        watch = self.kafka_service.watch
        own = self.settings.consumes
        broker = watch.broker if own else seen.get("broker", UNKNOWN)
        topics = watch.topics if own else seen.get("topics", UNKNOWN)
        commands = seen.get("commands") or {}
        return {"broker": broker, "topics": {**topics, "lag": {name: it["lag"] for name, it in commands.items()}}}

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
        """One that takes no changes is not ready either; `reason` says what a person must know, without secrets."""
        try:
            read_only = self.pool.run(READ_ONLY, (), deadline) == [("on",)]
        except (ConnectingTakesLong, DatabaseFull) as trouble:
            return {"ok": False, "reason": str(trouble)}
        except DatabaseBusy:  # by others: that is not away
            read_only = False
        except DatabaseTrouble as trouble:
            return {"ok": False, "reason": self.pool.away or str(trouble)}
        if read_only:
            self.pool.drop_idle()  # the next look is at the server that a new connection finds, with its defaults
            return {"ok": False, "reason": "it is read-only: orders are read, changes are refused"}
        if (reason := self.kafka_service.database_away) is not None:
            return {"ok": True, "worker_reason": reason}
        return {"ok": True}

    def _schema(self) -> dict[str, Any]:
        part = {"ok": self.kafka_service.schema_at_head, "mode": self.settings.schema}
        refusal = self.kafka_service.schema_refusal
        return part | ({"reason": refusal} if refusal else {})


class Checks:
    """The endpoints of operators, and `/health` of the callers."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def endpoints(self) -> list[Endpoint]:
        """Return them all."""
        return [
            Endpoint("checks.health", "GET", "/health", healthy),
            Endpoint("checks.livez", "GET", "/livez", alive),
            Endpoint("checks.readyz", "GET", "/readyz", self.readyz),
            Endpoint("checks.metrics", "GET", "/metrics", self.metrics),
        ]

    def readyz(self, request: Request) -> Response:
        """Answer with an entry a part; 503 only when the database is away or its schema not at head."""
        parts = self._health.parts(request.deadline)
        ready = parts["database"]["ok"] and parts["schema"]["ok"]
        body = {"status": "ready" if ready else "not ready", "parts": parts}
        return respond(HttpAnswer(200 if ready else 503, encode(body)))

    def metrics(self, request: Request) -> Response:
        """The metrics of this process in Prometheus' text format."""
        self._health.measure(request.deadline)
        return Response(200, generate_latest(), CONTENT_TYPE_LATEST)


def healthy(_: Request) -> Response:
    """Answer 200 whatever else is away [H2]."""
    return _HEALTHY


def alive(_: Request) -> Response:
    """Answer 200 and what runs, while the process answers; asks nobody."""
    return respond(HttpAnswer(200, encode({"status": "alive", **build()})))


_HEALTHY = respond(HttpAnswer(200, encode({"status": "healthy"})))


def count(endpoint: str | None, status: int, deadline: Deadline) -> None:
    """Count one answered request."""
    answered, seconds = _series(endpoint or "unknown", status)
    answered.inc()
    seconds.observe(REQUEST_SECONDS - deadline.remaining)


@lru_cache
def _series(endpoint: str, status: int) -> tuple[Counter, Histogram]:
    """Looking a series up by its labels takes twice as long as counting: 2.1 of 3.1 us a request (2026-11-29)."""
    return REQUESTS.labels(endpoint, status), REQUEST_HISTOGRAM.labels(endpoint)


def _thread(thread: Any) -> dict[str, Any]:
    age = thread.seconds_since_beat
    return {
        "ok": age is not None and age < STALE_SECONDS,
        "seconds_since_beat": None if age is None else round(age, 1),
        "restarts": thread.restarts,
        "last_error": thread.last_error,
    }
