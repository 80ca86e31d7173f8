"""A thread that fails rings, but not for what it met while no broker answered."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from app.config.config import Settings
from app.database.watched import WatchTable
from app.kafka.pulse import Pulse
from app.kafka.security import SecretsInUse
from app.services.watch import FAILURES, Found, Watch
from app.utils.alarms import Alarms
from app.utils.supervisor import Beat, SupervisedThread
from tests.harness.waiting import until


@dataclass
class Answering:
    """A pulse that has felt a broker for so long."""

    for_seconds: float

    def answers(self) -> bool:
        return self.for_seconds > 0

    def seconds(self) -> float:
        return self.for_seconds


@pytest.fixture(scope="module")
def failing() -> Iterator[SupervisedThread]:
    """The consumer's thread; it has failed often enough."""

    def fail(_: threading.Event, __: Beat) -> None:
        raise ValueError("why")

    thread = SupervisedThread("consumer", fail)
    thread.start()
    until(lambda: thread.restarts >= FAILURES, "failures")
    thread.ask_to_stop()
    yield thread
    thread.join(5)


@pytest.mark.parametrize(("for_seconds", "rings"), [(60.0, True), (0.0, False), (1e-6, False)])
def test_a_broker_that_was_away_explains_what_failed_until_it_was_back(
    failing: SupervisedThread, for_seconds: float, rings: bool
) -> None:
    settings: Settings = Settings.load({})
    pulse, table = cast(Pulse, Answering(for_seconds)), cast(WatchTable, cast(Any, None))
    watch = Watch(settings, SecretsInUse(settings), pulse, table, Alarms(), lambda: [failing], list)
    found: Found = {}
    watch._look_at_threads(found)
    assert [sentence for sentence, _ in found.values()] == rings * ["The consumer of commands fails: ValueError: why"]
