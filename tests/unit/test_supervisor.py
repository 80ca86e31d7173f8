"""A supervised thread comes back after whatever happens to it, and ends when it is asked to."""

import threading
from collections.abc import Callable

import pytest

from app.utils import supervisor
from app.utils.supervisor import Beat, SupervisedThread

SECONDS = 10.0  # until a test gives up
Work = Callable[[threading.Event, Beat], None]


class NoWaiting(threading.Event):
    """A stop flag that notes how long it was asked to wait, and does not."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


def a_thread(work: Work) -> SupervisedThread:
    thread = SupervisedThread("worker", work)
    thread._stop = NoWaiting()
    return thread


def run_to_the_end(thread: SupervisedThread) -> list[float]:
    thread.start()
    assert thread.join(SECONDS)
    assert isinstance(thread._stop, NoWaiting)
    return thread._stop.waits


def failing(times: int, error: Exception | None) -> Work:
    """Work that fails so often, and then asks itself to stop."""
    runs: list[int] = []

    def work(stop: threading.Event, beat: Beat) -> None:
        runs.append(1)
        if len(runs) > times:
            stop.set()
        elif error is not None:
            raise error

    return work


def test_work_runs_until_it_is_stopped() -> None:
    started = threading.Event()

    def work(stop: threading.Event, beat: Beat) -> None:
        started.set()
        stop.wait(SECONDS)

    thread = SupervisedThread("worker", work)
    thread.start()
    assert started.wait(SECONDS)
    assert not thread.join(0)
    thread.ask_to_stop()
    assert thread.join(SECONDS)
    assert (thread.restarts, thread.last_error) == (0, None)


def test_a_failure_is_counted_and_the_work_starts_again() -> None:
    thread = a_thread(failing(3, RuntimeError("broken " + "x" * 500)))
    run_to_the_end(thread)
    assert thread.restarts == 3
    assert thread.last_error is not None
    assert thread.last_error.startswith("RuntimeError: broken x")
    assert len(thread.last_error) == 200


def test_work_that_returns_early_starts_again_too() -> None:
    thread = a_thread(failing(3, None))
    assert len(run_to_the_end(thread)) == 4
    assert thread.restarts == 0


def test_the_pauses_grow_up_to_a_bound() -> None:
    waits = run_to_the_end(a_thread(failing(12, RuntimeError())))
    assert 0.8 * supervisor.FIRST_BACK_OFF_SECONDS <= waits[0] <= 1.2 * supervisor.FIRST_BACK_OFF_SECONDS
    assert waits[1] > 1.3 * supervisor.FIRST_BACK_OFF_SECONDS
    assert max(waits) <= 1.2 * supervisor.LONGEST_BACK_OFF_SECONDS
    assert min(waits[-3:]) >= 0.8 * supervisor.LONGEST_BACK_OFF_SECONDS


def test_a_steady_run_starts_the_pauses_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STEADY_SECONDS", -1.0)
    waits = run_to_the_end(a_thread(failing(8, RuntimeError())))
    assert max(waits) <= 1.2 * supervisor.FIRST_BACK_OFF_SECONDS


def test_the_heartbeat_is_shown() -> None:
    def work(stop: threading.Event, beat: Beat) -> None:
        beat()
        stop.set()

    thread = a_thread(work)
    assert thread.seconds_since_beat is None
    run_to_the_end(thread)
    assert thread.seconds_since_beat is not None
    assert 0 <= thread.seconds_since_beat < SECONDS


def test_a_thread_that_was_stopped_before_its_start_does_nothing() -> None:
    ran: list[int] = []
    thread = a_thread(lambda stop, beat: ran.append(1))
    thread.ask_to_stop()
    run_to_the_end(thread)
    assert ran == []


def test_a_thread_that_fails_again_and_again_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    thread = a_thread(failing(5, ValueError("no broker at port 9092")))
    run_to_the_end(thread)
    assert caplog.text.count("worker failed, starts again: ValueError: no broker") == 1
    assert (thread.restarts, thread.failures_within(60), thread.failures_within(-1)) == (5, 5, 0)
