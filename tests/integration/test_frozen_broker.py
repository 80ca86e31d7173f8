"""The pulse finds a broker that answers nothing, or is gone, and says so until it is back; a slow line is neither."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from app.config.config import Settings
from app.kafka.pulse import ALARM, Pulse
from app.kafka.security import SecretsInUse
from app.utils.alarms import Alarms
from app.utils.limits import PULSE_ASK_MS
from tests.harness.mock_broker import MockBroker
from tests.harness.proxy import GOOD, Network

SLOW = Network(delay=0.75 * PULSE_ASK_MS / 1000)
"""A new client has two answers to wait for, and gives up after PULSE_ASK_MS."""


@pytest.fixture
def broker() -> Iterator[MockBroker]:
    with MockBroker() as made:
        yield made


@pytest.fixture
def alarms() -> Alarms:
    return Alarms()


@pytest.fixture
def pulse(broker: MockBroker, alarms: Alarms) -> Iterator[Pulse]:
    """One that has found the broker."""
    settings = Settings.load({"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap})
    made = Pulse(settings, SecretsInUse(settings), alarms)
    with closing(made._view):
        made.look()
        assert made.answers()
        yield made


@pytest.mark.parametrize("gone", [Network(black_hole=True), Network(refuses=True)], ids=["frozen", "dead"])
def test_a_broker_that_is_gone_rings_with_the_first_look_and_is_over_with_the_first_after_its_return(
    broker: MockBroker, pulse: Pulse, alarms: Alarms, gone: Network
) -> None:
    broker.front.network = gone
    if gone.refuses:
        broker.front.cut_answer(lambda _: True)
    pulse.look()
    assert alarms.all() == {ALARM: f"No Kafka broker of {broker.bootstrap} answers"}
    assert "KafkaTimeoutError" in pulse.part["reason"]
    assert (pulse.answers(), pulse.seconds()) == (False, 0.0)
    broker.front.network = GOOD
    pulse.look()
    assert (alarms.all(), pulse.part) == ({}, {"ok": True, "reason": None})


def test_a_line_so_slow_that_no_new_client_comes_in_is_no_broker_away(
    broker: MockBroker, pulse: Pulse, alarms: Alarms
) -> None:
    broker.front.network = SLOW
    pulse.look()
    assert alarms.all() == {}
    assert pulse.answers()
