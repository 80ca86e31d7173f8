"""A broker that takes connections and answers nothing is found by the watch within 5 s; a slow line is not one."""

import threading
import time
from collections.abc import Iterator

import pytest

from app.config.config import Settings
from app.kafka.broker_watch import BrokerWatch
from app.kafka.security import SecretsInUse
from tests.harness.mock_broker import MockBroker
from tests.harness.proxy import GOOD, Network

FOUND_SECONDS = 5.8  # 0.5 + 1 + 3, and the rest is for a busy machine; one question after the other took over 6
SLOW = Network(delay=2.0)
"""A new client has two answers to wait for, and gives up after 3 s."""
WAIT_SECONDS = 1.0


@pytest.fixture
def broker() -> Iterator[MockBroker]:
    with MockBroker() as made:
        for topic in ("order_commands", "order_events", "order_commands.dlq"):
            made.create_topic(topic)
        yield made


def look(watch: BrokerWatch) -> object:
    """One turn of the watch: it waits, and asks. Return why no broker answers, or what is known."""
    watch.wait(threading.Event(), WAIT_SECONDS, glance=True)
    return watch.topics()


@pytest.mark.parametrize("after", [0.1, WAIT_SECONDS - 0.1])
def test_a_frozen_broker_is_found_in_time_whenever_it_freezes(broker: MockBroker, after: float) -> None:
    settings = Settings.load({"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap})
    watch = BrokerWatch(settings, SecretsInUse(settings))
    frozen: list[float] = []

    def freeze() -> None:
        broker.front.network = Network(black_hole=True)
        frozen.append(time.monotonic())

    with watch.asking():
        assert isinstance(watch.topics(), dict)
        timer = threading.Timer(after, freeze)
        timer.start()
        found = look(watch)
        took = time.monotonic() - frozen[0]
        timer.join()
        broker.front.network = GOOD
        assert isinstance(found, str), found
        assert "KafkaTimeoutError" in found
        assert took < FOUND_SECONDS
        assert isinstance(watch.topics(), dict), "it answers again"


def test_a_line_so_slow_that_a_new_client_hardly_comes_in_is_no_broker_away(broker: MockBroker) -> None:
    settings = Settings.load({"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap})
    watch = BrokerWatch(settings, SecretsInUse(settings))
    with watch.asking():
        assert isinstance(watch.topics(), dict)
        broker.front.network = SLOW
        assert isinstance(look(watch), dict)
        broker.front.network = GOOD
