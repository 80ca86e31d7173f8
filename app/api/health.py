"""The operators' endpoints: alive, ready, metrics. `/health` is for callers, and only says that the service answers."""

from typing import Any

from app.api.guard import Guard
from app.api.requests import Request
from app.api.responses import Response, to_response
from app.api.routes import Endpoint
from app.config.config import Settings
from app.models.callers import Scope
from app.models.writes import HttpAnswer
from app.services.health import Health
from app.utils.build import build
from app.utils.exposition import CONTENT_TYPE, exposition
from app.wire.encoder import encode


class Checks:
    """The endpoints for operators, and `/health` [H2]. What `/readyz` and `/livez` show depends on who asks."""

    def __init__(self, health: Health, settings: Settings, guard: Guard) -> None:
        self._health = health
        self._guard = guard
        self._metrics_scope = None if settings.is_open(settings.metrics_access) else Scope.OPERATOR
        self._shows_parts = settings.is_open(settings.readyz_access)

    def endpoints(self) -> list[Endpoint]:
        """Return all of them."""
        return [
            Endpoint("checks.health", "GET", "/health", healthy, None),
            Endpoint("checks.livez", "GET", "/livez", self.livez, None),
            Endpoint("checks.readyz", "GET", "/readyz", self.readyz, None),
            Endpoint("checks.metrics", "GET", "/metrics", self.metrics, self._metrics_scope),
        ]

    def livez(self, request: Request) -> Response:
        """200; the version that runs is for callers whose credential is good, and for all where nobody is asked."""
        return alive(request) if self._guard.knows(request) else _ALIVE

    def readyz(self, request: Request) -> Response:
        """One entry for each part; 503 only without the database, its schema at head, the API keys if they count, and a
        broker that has answered since the start if this is a worker.

        The status is for all; the parts may be for operators alone.
        """
        parts = self._health.parts(request.deadline)
        ready = self._health.is_ready(parts)
        body: dict[str, Any] = {"status": "ready" if ready else "not ready"}
        if self._shows_parts or self._guard.knows(request, Scope.OPERATOR):
            body["parts"] = parts
        return to_response(HttpAnswer(200 if ready else 503, encode(body)))

    def metrics(self, request: Request) -> Response:
        """The metrics of this instance and of the service, in Prometheus' text format."""
        return Response(200, exposition(self._health.measure(request.deadline)), CONTENT_TYPE)


def healthy(_: Request) -> Response:
    """200, whatever else is away [H2]."""
    return _HEALTHY


def alive(_: Request) -> Response:
    """200 and the version that runs; asks neither PostgreSQL nor Kafka."""
    return to_response(HttpAnswer(200, encode({"status": "alive", **build()})))


_ALIVE = to_response(HttpAnswer(200, encode({"status": "alive"})))
_HEALTHY = to_response(HttpAnswer(200, encode({"status": "healthy"})))
