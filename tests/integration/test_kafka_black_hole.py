"""A network that swallows everything: what a member of the group does meanwhile."""

import time
import uuid
from typing import Any

import pytest
from kafka import KafkaConsumer

from app.config.config import Settings
from app.kafka import clients
from app.kafka.command_topic import POLL_MS, KafkaCommandLog
from tests.harness.mock_broker import MockBroker
from tests.harness.proxy import GOOD, Network
from tests.harness.waiting import until

SECONDS = 2.0
SESSION_MS = 2000
MOST_ROUNDS = 80  # one each 50 ms are 40; kafka-python by itself makes hundreds


def test_a_member_does_not_spin_while_its_heartbeat_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round is remembered until the fetch under way ends: 5 MiB a second."""
    rounds: list[object] = []
    once = KafkaConsumer._poll_once

    def count_and_poll(*arguments: Any, **options: Any) -> Any:
        rounds.append(1)
        return once(*arguments, **options)

    with MockBroker() as broker:
        broker.create_topic("order_commands")
        environment = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap, "KAFKA_SESSION_TIMEOUT_MS": str(SESSION_MS)}
        settings = Settings.load(environment)
        commands = KafkaCommandLog(settings, clients.group_consumer(settings), uuid.uuid4())
        until(lambda: commands.poll() or commands.assigned(), "an assignment")
        broker.front.network = Network(black_hole=True)
        monkeypatch.setattr(KafkaConsumer, "_poll_once", count_and_poll)
        give_up = time.monotonic() + SECONDS
        while time.monotonic() < give_up:
            commands.poll()
        broker.front.network = GOOD
        commands.close()
    assert SECONDS * 1000 / POLL_MS / 2 < len(rounds) < MOST_ROUNDS
