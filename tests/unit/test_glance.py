"""Between two looks of the watch: that no broker listens any more is said at once, and nothing else is."""

import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from app.config.config import Settings
from app.kafka.broker_watch import BrokerWatch
from app.kafka.security import SecretsInUse

AWAY = "KafkaConnectionError (the broker cannot be reached)"


@pytest.fixture
def complaint() -> logging.LogRecord:
    return logging.LogRecord("kafka", logging.WARNING, "", 0, "node 1: KafkaConnectionError: refused", None, None)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def watch(*ports: int) -> BrokerWatch:
    servers = ",".join(f"127.0.0.1:{port}" for port in ports)
    settings = Settings.load({"KAFKA_BOOTSTRAP_SERVERS": servers})
    return BrokerWatch(settings, SecretsInUse(settings))


def waited(looks: BrokerWatch, *, glance: bool = True) -> float:
    began = time.monotonic()
    looks.wait(threading.Event(), 1.2, glance=glance)
    return time.monotonic() - began


def test_where_the_client_complains_and_nobody_listens_the_next_look_knows_why(complaint: logging.LogRecord) -> None:
    looks = watch(1)
    looks.reasons.emit(complaint)
    assert waited(looks) < 1.0
    assert looks.topics() == AWAY


def test_the_wait_is_a_whole_one_without_a_complaint_or_with_a_broker_that_listens(
    complaint: logging.LogRecord, listener: socket.socket
) -> None:
    assert waited(watch(1)) >= 1.2
    others = watch(1, listener.getsockname()[1])
    others.reasons.emit(complaint)
    assert waited(others) >= 1.2


def test_a_broker_that_is_known_to_be_away_is_not_looked_for_sooner(complaint: logging.LogRecord) -> None:
    looks = watch(1)
    looks.reasons.emit(complaint)
    assert waited(looks, glance=False) >= 1.2
