"""Turns requests away while the service has more to do than it can: 503 with `Retry-After`, before any work is done.

The head of a request decides. The answer needs no task, and the log has no line of it.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import uuid_utils

from app.api.common import Common
from app.api.responses import Response
from app.api.routes import Endpoint
from app.server.incoming import Incoming
from app.server.simple import Simple, simple_request
from app.utils.admission import LEAST, Admission, Priority
from app.utils.line import Line
from app.utils.metrics import SHED
from app.utils.recent import Recent
from app.wire.answers import failure
from app.wire.bodies import SAYS_SUCCESS

RETRY_AFTER_SECONDS = ("1", "2", "3")  # drawn for each answer, so that the callers do not come back together
_PLACE = "the-place-of-the-correlation-id"


class Shedder:
    """Decides about each request, and counts those that are turned away. Runs on the loop's thread."""

    def __init__(self, admission: Admission, common: Common, lines: Sequence[Line[Any]]) -> None:
        """`lines`: the calls that wait for the database in this process."""
        self._admission = admission
        self._common = common
        self._lines = lines
        self._keys = Recent()
        self._served = 0  # so many had been served in the lines at the last look
        self._shed: Counter[tuple[str | None, str, Priority]] = Counter()  # since the last look
        for priority in Priority:
            SHED.labels(priority.name.lower())  # shows 0 from the start

    def sheds(self, incoming: Incoming, in_work: int, endpoint: Callable[[], Endpoint | None]) -> bool:
        """Tell whether to turn the request away; once said, that stands. `in_work`: how many are being answered."""
        if in_work >= LEAST and not incoming.is_shed:
            found = endpoint()
            priority = self._priority(found, incoming.method, incoming.header("idempotency-key"))
            incoming.is_shed = priority is not None and self._turns_away(found, incoming.method, priority)
        return incoming.is_shed

    def sheds_simple(self, endpoint: Endpoint, key: str | None) -> bool:
        """As `sheds`, for a simple request."""
        priority = self._priority(endpoint, endpoint.method, key)
        return priority is not None and self._turns_away(endpoint, endpoint.method, priority)

    def remember(self, incoming: Incoming) -> None:
        """Remember the key of a request that is about to be answered: who repeats it is turned away last.

        Who was only turned away with a key comes in no sooner than others.
        """
        key = incoming.header("idempotency-key")
        if key is not None:
            self._keys.add(key)

    def look(self, now: float, late: float) -> bool:
        """Look at the line, every LOOK_SECONDS; tell whether requests were turned away since the last look.

        `late`: seconds by which the loop made this look late.
        """
        before, self._served = self._served, sum(line.served for line in self._lines)
        self._admission.look(now, waiting=self._waiting(), served=self._served - before, late=late)
        shed, self._shed = self._shed, Counter()
        for (route, method, priority), times in shed.items():
            SHED.labels(priority.name.lower()).inc(times)
            self._common.count_shed(route, method, times)
        self._common.traffic.is_overloaded = bool(shed)
        return bool(shed)

    def _turns_away(self, endpoint: Endpoint | None, method: str, priority: Priority) -> bool:
        if self._admission.admits(priority, self._waiting()):
            return False
        self._shed[endpoint.route if endpoint else None, method, priority] += 1
        return True

    def _waiting(self) -> int:
        return sum(map(len, self._lines))

    def _priority(self, endpoint: Endpoint | None, method: str, key: str | None) -> Priority | None:
        """Return None for what is never turned away."""
        if endpoint is None:  # documents and unknown paths; a browser asks OPTIONS before it writes
            return Priority.WRITE if method == "OPTIONS" else Priority.LIST
        is_repeat = endpoint.priority is Priority.WRITE and key is not None and key in self._keys
        return Priority.REPEAT if is_repeat else endpoint.priority


class QuickAnswers:
    """Answers simple requests that are turned away, without parser and request. Makes its answers anew every look."""

    def __init__(
        self, shedder: Shedder, endpoints: Mapping[tuple[str, str], Endpoint], make: Callable[[Incoming], bytes]
    ) -> None:
        """`make` returns the whole response to a request that is turned away, for a connection that stays open."""
        self._shedder = shedder
        self._endpoints = {(method.encode(), path.encode()): found for (method, path), found in endpoints.items()}
        self._make = make
        self._made: dict[str, tuple[bytes, bytes]] = {}  # by endpoint, what stands around the correlation id

    def answer(self, data: bytes) -> bytes | None:
        """Return the response, None if the bytes are no simple request, or one that is not turned away."""
        found = simple_request(data)
        if found is None:
            return None
        endpoint = self._endpoints.get((found.method, found.path))
        if endpoint is None or not self._shedder.sheds_simple(endpoint, found.key):
            return None
        before, after = self._made.get(endpoint.name) or self._parts(endpoint, found)
        return before + (found.correlation_id or str(uuid_utils.uuid4())).encode() + after

    def forget(self) -> None:
        """Make the answers anew: their date and the seconds to wait change."""
        self._made.clear()

    def _parts(self, endpoint: Endpoint, found: Simple) -> tuple[bytes, bytes]:
        asked = Incoming(endpoint.method, found.path, b"", "1.1", [("x-correlation-id", _PLACE)])
        before, _, after = self._make(asked).partition(_PLACE.encode())
        self._made[endpoint.name] = before, after
        return before, after


def busy(path: str) -> Response:
    """Return the answer to a request of the path that is turned away."""
    retry_after = "Retry-After", random.choice(RETRY_AFTER_SECONDS)  # noqa: S311 - no secret
    return Response(503, _body(path), headers=(retry_after,))


@lru_cache(maxsize=64)
def _body(path: str) -> bytes:
    return failure("service_busy", says_success=path in SAYS_SUCCESS).body
