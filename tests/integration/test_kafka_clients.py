"""What a client that found no broker leaves behind: nothing, or a broker that is away costs a thread each attempt."""

import gc
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context

import pytest
from kafka.errors import KafkaError

from app.config.config import Settings
from app.kafka import clients, topics
from tools.stack.ports import free_port

Open = Callable[[Settings], object]


def held() -> set[str]:
    """Descriptors and threads of this process, but for the descriptor that the look itself takes."""
    found = {thread.name for thread in threading.enumerate()}
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.add(f"{descriptor}: {os.readlink(f'/proc/self/fd/{descriptor}')}")
    return found


def left_by(make: Open) -> set[str]:
    """Return what two attempts leave open. The garbage collector would find leaks in its own time."""
    gc.disable()
    clients.BOOTSTRAP_MS = 500
    settings = Settings.load({"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"})
    before = held()
    for _ in range(2):
        with pytest.raises(KafkaError):
            make(settings)
    return held() - before


@pytest.mark.parametrize(
    "make",
    [
        clients.group_consumer,
        clients.producer,
        clients.reader,
        partial(topics.ensure_topic, topic="order_events"),
    ],
)
def test_an_attempt_without_a_broker_leaves_no_thread_and_no_descriptor(make: Open) -> None:
    """In a process of its own: in this one the probers of earlier tests open a socket now and then."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        assert process.submit(left_by, make).result(60) == set()
