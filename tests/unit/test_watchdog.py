"""The watchdog outlives whatever it meets."""

import time
from typing import Any, cast

import pytest
from app.models.watchdog import Watchdog

from app.utils.deadline import Deadline


class Dropped:
    """A connection that libpq has dropped before psycopg2 knows."""

    def fileno(self) -> int:
        return -1


def shut_by(watchdog: Watchdog, connection: Any) -> None:
    """Block until the watchdog has taken the late call, or for seconds."""
    with watchdog.guard(cast(Any, connection), Deadline(0.0)):
        give_up = time.monotonic() + 5
        while watchdog._calls and time.monotonic() < give_up:
            time.sleep(0.01)
        assert not watchdog._calls


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_connection_without_a_descriptor_does_not_end_it() -> None:
    watchdog = Watchdog()
    for _ in range(2):
        shut_by(watchdog, Dropped())
    assert watchdog._thread is not None
    assert watchdog._thread.is_alive()
