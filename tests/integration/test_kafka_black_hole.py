"""A member of the group whose heartbeats are not answered, or refused."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.errors import GroupAuthorizationFailedError
from kafka.protocol.consumer.group import HeartbeatRequest

from app.config.config import Settings
from app.kafka import clients
from app.kafka.command_topic import POLL_MS, KafkaCommandLog
from app.kafka.quirks.group import HeartbeatRefused
from tests.harness.mock_broker import MockBroker
from tests.harness.proxy import GOOD, Network
from tests.harness.waiting import until

SECONDS = 2.0
SESSION_MS = 2000
MOST_ROUNDS = 80  # one each 50 ms are 40; kafka-python by itself makes hundreds


@contextmanager
def a_member(session_ms: int) -> Iterator[tuple[MockBroker, KafkaCommandLog]]:
    """One that has its partitions."""
    with MockBroker() as broker:
        broker.create_topic("order_commands")
        environment = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap, "KAFKA_SESSION_TIMEOUT_MS": str(session_ms)}
        settings = Settings.load(environment)
        commands = KafkaCommandLog(settings, clients.group_consumer(settings), uuid.uuid4())
        until(lambda: commands.poll() or commands.assigned(), "an assignment")
        yield broker, commands
        commands.close()


def test_a_member_does_not_spin_while_its_heartbeat_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round is remembered until the fetch under way ends: 5 MiB a second."""
    rounds: list[object] = []
    once = KafkaConsumer._poll_once

    def count_and_poll(*arguments: Any, **options: Any) -> Any:
        rounds.append(1)
        return once(*arguments, **options)

    with a_member(SESSION_MS) as (broker, commands):
        broker.front.network = Network(black_hole=True)
        monkeypatch.setattr(KafkaConsumer, "_poll_once", count_and_poll)
        give_up = time.monotonic() + SECONDS
        while time.monotonic() < give_up:
            commands.poll()
        broker.front.network = GOOD
    assert SECONDS * 1000 / POLL_MS / 2 < len(rounds) < MOST_ROUNDS


def test_a_member_whose_heartbeat_is_refused_hears_of_it_at_once() -> None:
    """By the first refusal: the session goes on for seconds."""
    with a_member(SESSION_MS) as (broker, commands):
        refusal = broker.answer(HeartbeatRequest, GroupAuthorizationFailedError, times=1)
        with pytest.raises(HeartbeatRefused, match="GroupAuthorizationFailedError"):
            until(commands.poll, "never", seconds=10)
        assert refusal.given == 1
