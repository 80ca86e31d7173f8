"""The operators' endpoints: alive, ready, metrics. `/health` is for callers, and only says that the service answers."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api.requests import Request
from app.api.responses import Response, to_response
from app.api.routes import Endpoint
from app.models.writes import HttpAnswer
from app.services.health import Health
from app.utils.build import build
from app.wire.encoder import encode


class Checks:
    """The endpoints for operators, and `/health` [H2]."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def endpoints(self) -> list[Endpoint]:
        """Return all of them."""
        return [
            Endpoint("checks.health", "GET", "/health", healthy),
            Endpoint("checks.livez", "GET", "/livez", alive),
            Endpoint("checks.readyz", "GET", "/readyz", self.readyz),
            Endpoint("checks.metrics", "GET", "/metrics", self.metrics),
        ]

    def readyz(self, request: Request) -> Response:
        """One entry for each part; 503 only when the database is away or its schema is not at head."""
        parts = self._health.parts(request.deadline)
        ready = parts["database"]["ok"] and parts["schema"]["ok"]
        body = {"status": "ready" if ready else "not ready", "parts": parts}
        return to_response(HttpAnswer(200 if ready else 503, encode(body)))

    def metrics(self, request: Request) -> Response:
        """The metrics of this process in Prometheus' text format."""
        self._health.measure(request.deadline)
        return Response(200, generate_latest(), CONTENT_TYPE_LATEST)


def healthy(_: Request) -> Response:
    """200, whatever else is away [H2]."""
    return _HEALTHY


def alive(_: Request) -> Response:
    """200 and the version that runs; asks neither PostgreSQL nor Kafka."""
    return to_response(HttpAnswer(200, encode({"status": "alive", **build()})))


_HEALTHY = to_response(HttpAnswer(200, encode({"status": "healthy"})))
