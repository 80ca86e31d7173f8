"""What this process refused over HTTP, on its way to the table that tells of it (database/http_refusals.py).

A refusal costs its request one tuple in a queue. The thread that keeps the alarms does the rest each second: it finds
the orders in the bodies, puts what is alike together and writes it in one statement. A crash loses the last second.
"""

import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

from app.database.http_refusals import RefusalTable
from app.models.errors import DatabaseError, Refused
from app.models.refusals import LOST_RACE, RefusedRequests
from app.models.writes import HttpAnswer
from app.utils.deadline import Deadline
from app.utils.logging import Repeats
from app.utils.metrics import REFUSALS_UNTOLD
from app.wire.answers import code_of
from app.wire.decoder import decode
from app.wire.fields import is_id

log = logging.getLogger(__name__)

MOST_NOTED = 1000  # that wait for the thread, or for the database
MOST_STORED = 100  # rows a second: a flood must not fill the table
LONGEST_BODY = 4096  # that is kept for its order's id; only bodies of creates are longer, and they have none
RETRY_SECONDS = 10.0

_Noted = tuple[float, str, str | HttpAnswer, str | None, str, bool, bytes | str | None]
"""When, path, code or answer, key, correlation id, whether the caller sent that, and the body or the order's id."""


class RefusalNotes:
    """The queue of one process. `note` and `note_race` return at once, from any thread; `store` is for one thread."""

    def __init__(self, most: int = MOST_NOTED) -> None:
        self._most = most
        self._noted: deque[_Noted] = deque()
        self._next_try = Deadline(0)
        self._repeats = Repeats()

    def note(
        self, path: str, what: str | HttpAnswer, key: str | None, correlation_id: str, body: bytes, *, is_sent: bool
    ) -> None:
        """Note a refusal by its code or by its answer. `is_sent`: whether the caller sent the correlation id."""
        kept = body if len(body) <= LONGEST_BODY else None
        self._append((time.monotonic(), path, what, key, correlation_id, is_sent, kept))

    def note_race(self, path: str, key: str | None, correlation_id: str, order_id: str) -> None:
        """Note that a request lost a race and is decided again."""
        self._append((time.monotonic(), path, LOST_RACE, key, correlation_id, True, order_id))

    def store(self, table: RefusalTable) -> None:
        """Write what was noted, usually nothing. What cannot be written waits for RETRY_SECONDS, MOST_NOTED at most."""
        count = len(self._noted)
        if not count or not self._next_try.passed:
            return
        rows = _together(list(islice(self._noted, count)))
        try:
            if rows:
                table.keep(rows[:MOST_STORED])
        except DatabaseError as error:
            self._next_try = Deadline(RETRY_SECONDS)
            self._repeats.say(log, logging.INFO, f"{count} refusals wait to be stored: {error.reason}")
            return
        for _ in range(count):
            self._noted.popleft()
        REFUSALS_UNTOLD.inc(sum(row.times for row in rows[MOST_STORED:]))

    def _append(self, noted: _Noted) -> None:
        if len(self._noted) >= self._most:
            REFUSALS_UNTOLD.inc()
        else:
            self._noted.append(noted)


def _together(noted: Sequence[_Noted]) -> list[RefusedRequests]:
    """Return a row for those that are alike, with the correlation id of the last. What has no name is left out."""
    now, found = time.monotonic(), dict[tuple[str, str, str | None, str | None, str | None], RefusedRequests]()
    for at, path, what, key, correlation_id, is_sent, body in noted:
        code = what if isinstance(what, str) else code_of(what) or ""
        order_id = _order_in(body) if isinstance(body, bytes) else body
        named = key or order_id
        if named is None and not is_sent:
            continue  # nobody could ask for it
        alike = path, code, order_id, key, None if named else correlation_id
        times = found[alike].times + 1 if alike in found else 1
        found[alike] = RefusedRequests(path, code, order_id, key, correlation_id, times, now - at)
    return list(found.values())


def _order_in(body: bytes) -> str | None:
    """Return the id of the order that the body names."""
    with suppress(Refused):
        value = decode(body)
        order_id = value.get("orderId") if isinstance(value, dict) else None
        return order_id if isinstance(order_id, str) and is_id(order_id) else None
    return None
