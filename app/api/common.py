"""What every response has, whoever received the request: id, CORS, a line in the log, a count."""

import logging
from collections.abc import Collection

from app.api import cors, health
from app.api.errors import Failures
from app.api.requests import Request
from app.utils.traffic import Traffic

log = logging.getLogger(__name__)


class Common:
    """Finishes responses."""

    def __init__(self, cors_origins: Collection[str], failures: Failures, traffic: Traffic) -> None:
        self._origins = cors_origins
        self._traffic = traffic
        self.failures = failures

    def finish(self, request: Request, endpoint: str | None, status: int) -> list[tuple[str, str]]:
        """Count the response, and return the headers that each has."""
        self._traffic.calls += 1
        health.count(endpoint, status, request.deadline)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s from %s: %s", request.method, request.path, request.address() or "nobody knows", status)
        origin = request.first("origin")
        return [("X-Correlation-ID", request.correlation_id), *cors.headers(request.method, origin, self._origins)]
