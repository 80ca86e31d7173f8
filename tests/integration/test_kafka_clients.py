"""What a client that found no broker leaves behind: nothing, or a broker that is away costs a thread each attempt."""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from kafka.errors import KafkaError

from app.config.config import Settings
from app.services import kafka_clients
from tools.stack.ports import free_port

Open = Callable[[Settings], object]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Leaks that the garbage collector would find in its own time."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def held() -> set[object]:
    """Descriptors and threads of this process; those of earlier tests may end at any time.

    Without the descriptor that the look itself takes: it has the lowest free number, another one after such an end.
    """
    found: set[object] = {*threading.enumerate()}
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            os.readlink(f"/proc/self/fd/{descriptor}")
            found.add(descriptor)
    return found


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "make",
    [
        kafka_clients.group_consumer,
        kafka_clients.producer,
        kafka_clients.reader,
        partial(kafka_clients.ensure_topics, topics=["order_events"]),
    ],
)
def test_an_attempt_without_a_broker_leaves_no_thread_and_no_descriptor(
    make: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_clients, "BOOTSTRAP_MS", 500)
    settings = Settings.load({"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"})
    before = held()
    for _ in range(2):
        with pytest.raises(KafkaError):
            make(settings)
    assert held() <= before
