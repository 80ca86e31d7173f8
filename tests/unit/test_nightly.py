"""The check by the clock: once when its time passes, and not because a process starts."""

from datetime import UTC, datetime, timedelta
from unittest.mock import create_autospec

import pytest

from app.database.jobs import JobTable
from app.models.errors import DatabaseBusy
from app.services.nightly import Nightly

START = datetime(2026, 11, 29, 3, 29, 59, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def started(table: JobTable) -> list[str]:
    return [call.args[4] for call in table.start_once.mock_calls]  # type: ignore[attr-defined]


@pytest.fixture
def table() -> JobTable:
    made: JobTable = create_autospec(JobTable, instance=True)
    return made


def test_it_starts_once_a_day_when_the_time_passes(table: JobTable) -> None:
    clock = Clock()
    nightly = Nightly("03:30", clock)
    for seconds in (0, 1, 2, 86_400, 86_401, 86_402):
        clock.now = START + timedelta(seconds=seconds)
        nightly.start_if_due(table)
    assert started(table) == ["check 2026-11-29 03:30", "check 2026-11-30 03:30"]


def test_a_process_that_starts_later_waits_for_the_next_day(table: JobTable) -> None:
    clock = Clock()
    clock.now += timedelta(seconds=1)
    Nightly("03:30", clock).start_if_due(table)
    assert started(table) == []


def test_a_try_that_fails_is_repeated(table: JobTable) -> None:
    clock = Clock()
    nightly = Nightly("03:30", clock)
    clock.now += timedelta(minutes=5)
    table.start_once.side_effect = [DatabaseBusy("busy"), 1]  # type: ignore[attr-defined]
    with pytest.raises(DatabaseBusy):
        nightly.start_if_due(table)
    nightly.start_if_due(table)
    nightly.start_if_due(table)
    assert started(table) == ["check 2026-11-29 03:30"] * 2


def test_an_empty_time_is_never(table: JobTable) -> None:
    clock = Clock()
    nightly = Nightly("", clock)
    clock.now += timedelta(days=2)
    nightly.start_if_due(table)
    assert started(table) == []
