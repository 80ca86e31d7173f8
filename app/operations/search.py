"""Search by any id: what the tables know under it, and the record at a place of the log."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from app.config.config import Settings
from app.database.history_index import HISTORY_INDEX
from app.kafka.operator import Place, place_of
from app.models.operator_errors import KafkaUnusable, NotPossible
from app.models.order import OrderState
from app.operations import refusals
from app.operations import search_tables as tables
from app.operations.refusals import Refused
from app.operations.search_log import FoundRecord, event_in_log, record_in_log
from app.operations.search_tables import FoundCommand, FoundKey
from app.operations.transaction import transaction
from app.utils.ids import MADE_FROM_A_PLACE
from app.wire.fields import is_id

LOG_SECONDS = 1.0
ANSWER_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, each list newest first. `by`: how each order was found, by its id; `notes`: what was left out, or
    not asked; `seconds`: what the database took, without connecting; `log_seconds`: what Kafka took, None if it was not
    asked."""

    orders: Sequence[OrderState]
    commands: Sequence[FoundCommand]
    keys: Sequence[FoundKey]
    refused: Sequence[Refused]
    records: Sequence[FoundRecord]
    notes: Sequence[str]
    seconds: float
    log_seconds: float | None
    by: Mapping[str, Sequence[str]]


def search(settings: Settings, text: str, *, limit: int = 20) -> Found:
    """Find what has the text as id of an order, saga, correlation, event, customer or runner, or as Idempotency-Key.

    `topic/partition/offset` finds the record there, and what came of it. Raises NotPossible if the text cannot be an
    id, and DatabaseUnusable. Blocks for some 10 ms, and up to a second longer if Kafka is asked: for a place, and for
    the event id of a reply that no table has. Without its index the whole history is read, up to ANSWER_SECONDS.
    """
    text = text.strip()
    if not is_id(text):
        raise NotPossible("Search for a text of 1 to 255 characters.")
    place = place_of(text)
    topics = settings.commands_topic, settings.events_topic, settings.dead_letter_topic
    searching = _Searching(settings, limit)
    if place is not None and place.topic in topics:
        searching.look_at(place)
    else:
        searching.look_for(text)
    return searching.found()


class _Searching:
    """One search; it collects what each place says."""

    def __init__(self, settings: Settings, limit: int) -> None:
        self._settings = settings
        self._limit = limit
        self._by: dict[str, list[str]] = {}
        self._orders: Sequence[OrderState] = ()
        self._commands: Sequence[FoundCommand] = ()
        self._keys: Sequence[FoundKey] = ()
        self._refused: Sequence[Refused] = ()
        self._records: list[FoundRecord] = []
        self._notes: list[str] = []
        self._seconds = 0.0
        self._log_seconds: float | None = None

    def look_for(self, some_id: str) -> None:
        """Ask the tables, and Kafka for what may be the id of a reply that no table has."""
        event_id = None
        with suppress(ValueError):
            event_id = UUID(some_id)
        self._ask_tables(some_id, event_id)
        nothing = not (self._by or self._commands or self._keys or self._refused)
        if event_id is not None and nothing and event_id.version == MADE_FROM_A_PLACE:
            self._ask_log_for(event_id)

    def look_at(self, place: Place) -> None:
        """Ask Kafka for the record, and the tables for its order and correlation id."""
        began, record = time.monotonic(), None
        try:
            record = record_in_log(self._settings, place.topic, place.partition, place.offset, LOG_SECONDS)
            self._notes.append(f"Kafka was asked for {place}{'' if record else ': it has no record there'}.")
        except KafkaUnusable as failure:
            self._notes.append(str(failure))
        self._log_seconds = time.monotonic() - began
        self._follow(record)
        with transaction(self._settings, ANSWER_SECONDS, snapshot=True) as connection:
            began = time.monotonic()
            kept = tables.commands_at(connection, place.topic, place.partition, place.offset)
            self._seconds += time.monotonic() - began
        known = {command.kept_as for command in self._commands}
        self._commands = [*(command for command in kept if command.kept_as not in known), *self._commands]

    def found(self) -> Found:
        """Return all that was found."""
        return Found(
            self._orders,
            self._commands[: self._limit],
            self._keys,
            self._refused,
            self._records,
            self._notes,
            self._seconds,
            self._log_seconds,
            {order.order_id: self._by[order.order_id] for order in self._orders},
        )

    def _follow(self, record: FoundRecord | None) -> None:
        """Look for the orders that the record is about."""
        if record is None:
            return
        self._records.append(record)
        some_id = record.order_id or record.correlation_id
        if some_id is not None and is_id(some_id):
            self._ask_tables(some_id, record.event_id)

    def _ask_log_for(self, event_id: UUID) -> None:
        began, topic = time.monotonic(), self._settings.events_topic
        try:
            look = event_in_log(self._settings, event_id, LOG_SECONDS)
        except KafkaUnusable as failure:
            self._notes.append(str(failure))
        else:
            rest = "that is all of it" if look.whole else "older ones were not read"
            self._notes.append(f"Kafka was asked: {look.read} records of {topic} were read, {rest}.")
            self._follow(look.record)
        self._log_seconds = time.monotonic() - began

    def _ask_tables(self, some_id: str, event_id: UUID | None) -> None:
        with transaction(self._settings, ANSWER_SECONDS, snapshot=True) as connection:
            began = time.monotonic()
            is_fast = tables.has_history_index(connection)
            self._by = tables.orders_with(connection, some_id, event_id)
            self._keys = tables.keys_with(connection, some_id)
            for key in self._keys:
                if key.order_id is not None:
                    self._by.setdefault(key.order_id, []).append("Idempotency-Key")
            self._refused = refusals.read(connection, refusals.of_id(some_id))[: self._limit]
            self._orders = tables.newest_orders(connection, list(self._by), self._limit)
            self._commands = tables.commands_with(
                connection, some_id, event_id, self._settings.commands_topic, self._limit + 1
            )
            self._note(connection, event_id)
            self._seconds += time.monotonic() - began
        if not is_fast:
            self._notes.append(
                f"The history has no index for this search ({HISTORY_INDEX}), so all of it was read: "
                f"{self._seconds:.1f} s. `alembic upgrade head` makes the index."
            )

    def _note(self, connection: Connection, event_id: UUID | None) -> None:
        if event_id is not None and tables.waiting_event(connection, event_id):
            self._notes.append(f"The event {event_id} waits in the outbox.")
        if (more := len(self._by) - len(self._orders)) > 0 and len(self._orders) == self._limit:
            many = " or more" * any(len(self._of_kind(by)) >= tables.MOST for by in ("customer", "runner", "saga"))
            self._notes.append(f"{more}{many} orders more are not shown.")
        if len(self._commands) > self._limit:
            self._notes.append(f"Only {self._limit} commands are shown.")

    def _of_kind(self, kind: str) -> list[str]:
        return [order_id for order_id, by in self._by.items() if kind in by]
