"""The leader's lease: what a call to the server proves, and until when."""

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest

from app.database import lane_lease, lanes
from app.database.lane_lease import PostgresLease, acquire_lease
from app.database.lanes import EVENTS
from app.models.kafka_tables import outbox
from app.models.outgoing import LeaseLost
from app.models.records import LogPosition
from app.utils.limits import IDLE_MS, LEASE_SECONDS


class Server:
    """An empty outbox behind a connection. The calls take `seconds`, one after the other, then no time at all."""

    def __init__(self, *seconds: float) -> None:
        self.now = 1_000.0
        self.ended = False
        self.autocommit = True
        self.description = True
        self.deadline = None
        self.messages: list[str] = []
        self.settings: dict[str, int | str] = {}
        self._seconds = list(seconds)
        self._rows: list[tuple[Any, ...]] = []

    def connect_for_lease(self, **settings: int | str) -> "Server":
        self.settings = settings
        return self

    def close(self) -> None:
        self.ended = True

    @contextmanager
    def cursor(self) -> Iterator["Server"]:
        yield self

    def execute(self, statement: str, parameters: Sequence[Any]) -> None:
        if self.ended:
            raise psycopg2.OperationalError("terminating connection due to idle-session timeout")
        seconds = self._seconds.pop(0) if self._seconds else 0.0
        self.now += seconds
        self.messages.append(statement)
        self._rows = [(None,)] if "pg_sequence_last_value" in statement else []
        if "advisory" in statement:
            self._rows = [(True,)]
        self.ended = seconds > IDLE_MS / 1000  # silent for too long once it had answered

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows


def a_leader(server: Server, monkeypatch: pytest.MonkeyPatch) -> PostgresLease:
    monkeypatch.setattr(lane_lease, "_boot_time", lambda: server.now)
    return PostgresLease(server, EVENTS, "order_events", 10)  # type: ignore[arg-type]  # a fake


def test_a_call_proves_life_for_the_length_of_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    leader = a_leader(server, monkeypatch)
    server.now += 60.0
    leader.positions()
    server.now += LEASE_SECONDS
    leader.require_valid()
    server.now += 0.1
    with pytest.raises(LeaseLost):
        leader.require_valid()


def test_a_leader_that_was_frozen_with_the_answer_in_hand_does_not_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server counts its silence from the answer on, not from when that is read; another one may lead by now."""
    leader = a_leader(Server(60.0), monkeypatch)
    leader.positions()
    with pytest.raises(LeaseLost):
        leader.require_valid()


def test_a_leader_that_was_frozen_while_it_read_the_rows_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    leader = a_leader(Server(0.0, 0.0, 60.0), monkeypatch)
    with pytest.raises(LeaseLost):
        leader.next_batch()


def test_rows_that_took_long_to_read_may_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a slow database would stop the relay for good."""
    leader = a_leader(Server(0.0, 0.0, LEASE_SECONDS + 1), monkeypatch)
    leader.next_batch()
    leader.require_valid()


def test_a_row_that_is_set_aside_keeps_every_column() -> None:
    assert set(lanes._EVENT.split(", ")) == {column.name for column in outbox.columns} - {"id"}


def test_only_dropping_rows_does_not_wait_for_the_disk() -> None:
    server: Any = Server()
    with acquire_lease(server, EVENTS, "order_events", 10, threading.Event(), lambda: None) as lease:
        assert lease is not None
        lease.confirm_sent([1], {0: LogPosition(uuid.UUID(int=1), 5)})
        lease.store_positions({0: LogPosition(uuid.UUID(int=1), 5)})
    assert server.settings["synchronous_commit"] == "off"
    _, confirmed, stored = server.messages  # each is one message, however many statements it has
    assert (confirmed.count("; "), stored.startswith("SET LOCAL synchronous_commit = on; ")) == (1, True)
