"""The figures of a minute: what a process did since the minute before, and how several processes are put together."""

import json
from dataclasses import asdict

import pytest

from app.database.flow import to_figures
from app.models.errors import DatabaseAway
from app.models.flow import Figures, Lead, Waiting, Work, quantile, total_of
from app.services import flow as subject
from app.services.counted import count_change, count_refusal, counted
from app.services.flow import FlowKeeper

BEGAN = 1_700_000_060.0  # 20 s into a minute


class Table:
    """Keeps what it is told, unless it is away."""

    def __init__(self) -> None:
        self.kept: list[tuple[Figures, float]] = []
        self.is_away = False

    def keep(self, figures: Figures, seconds: float) -> None:
        if self.is_away:
            raise DatabaseAway("away")
        self.kept.append((figures, seconds))


class Process:
    """A keeper with a clock, work and lanes that the test sets."""

    def __init__(self) -> None:
        self.now, self.work, self.led = BEGAN, Work(), list[str]()
        self.table = Table()
        self.keeper = FlowKeeper(
            self.table,  # type: ignore[arg-type]
            lambda: self.led,
            count=lambda: self.work,
            clock=lambda: self.now,
        )

    def pass_to(self, now: float) -> None:
        self.now = now
        self.keeper.look()
        self.keeper.store()


@pytest.fixture
def process() -> Process:
    return Process()


def test_a_minute_has_what_was_done_since_the_one_before(process: Process) -> None:
    process.work = Work(changes={"created": 5}, refusals={"final": 1}, calls=9, latency={"0.1": 4, "+Inf": 1})
    process.pass_to(BEGAN + 30)
    assert process.table.kept == []  # the minute is not over
    process.pass_to(BEGAN + 41)
    process.work = Work(changes={"created": 7}, refusals={"final": 1}, calls=9, latency={"0.1": 4, "+Inf": 2})
    process.pass_to(BEGAN + 101)
    first, second = (figures.work for figures, _ in process.table.kept)
    assert first == Work({"created": 5}, {"final": 1}, calls=9, latency={"0.1": 4, "+Inf": 1})
    assert second == Work({"created": 2}, {}, calls=0, latency={"0.1": 0, "+Inf": 1})
    assert [seconds for _, seconds in process.table.kept] == [20.5, 30.0]  # since the middle of the time


def test_of_what_waits_the_worst_look_of_the_minute_is_stored_each_figure_by_itself(process: Process) -> None:
    lanes = {"events": {"depth": 7, "oldest_seconds": 0.5}}
    queues = {"0": {"lag": 3, "oldest_seconds": 9.0}, "1": {"lag": None, "oldest_seconds": 0.0}}
    process.keeper.note_waiting({"lanes": lanes, "commands": queues})
    process.keeper.note_waiting({"lanes": {"events": {"depth": 2, "oldest_seconds": 4.0}}, "commands": None})
    process.pass_to(BEGAN + 60)
    process.pass_to(BEGAN + 120)
    assert [figures.waiting for figures, _ in process.table.kept] == [Waiting(3, 9.0, 7, 4.0), Waiting()]


def test_a_lead_that_began_is_told_once(process: Process) -> None:
    process.led = ["events"]
    process.pass_to(BEGAN + 10)
    process.pass_to(BEGAN + 60)
    process.led = []
    process.pass_to(BEGAN + 70)
    process.led = ["events"]
    process.pass_to(BEGAN + 130)
    told = [[lead.lane for lead in figures.leads] for figures, _ in process.table.kept]
    assert told == [["events"], ["events"]]
    assert process.table.kept[0][0].leads[0].at == "2023-11-14T22:14:30+00:00"


def test_minutes_wait_for_a_database_that_is_away_but_not_for_ever(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "RETRY_SECONDS", 0.0)
    process.table.is_away = True
    for minute in range(1, subject.MOST_KEPT + 3):
        process.work = Work(repeats=minute)
        process.pass_to(BEGAN + 60 * minute)
    process.table.is_away = False
    process.pass_to(BEGAN + 60 * (subject.MOST_KEPT + 2) + 1)
    assert len(process.table.kept) == subject.MOST_KEPT
    assert {figures.work.repeats for figures, _ in process.table.kept} == {1}


def test_a_failure_is_not_tried_again_at_once(process: Process) -> None:
    process.table.is_away = True
    process.pass_to(BEGAN + 60)
    process.table.is_away = False
    process.pass_to(BEGAN + 61)
    assert process.table.kept == []
    process.keeper.close()  # the end of the process does not wait
    process.keeper.store()
    assert len(process.table.kept) == 2


def test_the_metrics_of_this_process_are_what_is_counted() -> None:
    before = counted()
    count_change("created", "http")
    count_change("created", "kafka", 3)
    count_refusal("final", "kafka", 2)
    done = counted().since(before)
    assert (done.changes, done.refusals) == ({"created": 4}, {"final": 2})


def test_two_processes_are_put_together() -> None:
    one = Work({"created": 1}, {"final": 2}, 3, 4, 1, {"0.1": 3, "1.0": 0, "+Inf": 1})
    other = Work({"created": 1, "updated": 5}, {}, 1, 6, 0, {"0.1": 6, "1.0": 0, "+Inf": 0})
    assert total_of([one, other]) == Work(
        {"created": 2, "updated": 5}, {"final": 2}, 4, 10, 1, {"0.1": 9, "1.0": 0, "+Inf": 1}
    )
    assert Waiting(1, 2.0).worst(Waiting(3, None, 4)) == Waiting(3, 2.0, 4, None)


@pytest.mark.parametrize(
    ("latency", "share", "seconds"),
    [
        ({}, 0.5, None),
        ({"0.1": 0, "+Inf": 0}, 0.5, None),
        ({"0.1": 10, "0.2": 0, "+Inf": 0}, 0.5, 0.05),
        ({"0.1": 0, "0.2": 10, "+Inf": 0}, 0.5, 0.15),  # an empty bucket is a bound all the same
        ({"0.1": 90, "0.2": 10, "+Inf": 0}, 0.99, 0.19),
        ({"0.1": 1, "0.2": 0, "+Inf": 9}, 0.99, 0.2),  # beyond the last bound
    ],
)
def test_the_time_of_a_share_of_the_calls(latency: dict[str, int], share: float, seconds: float | None) -> None:
    assert quantile(latency, share) == pytest.approx(seconds)


def test_a_row_is_read_as_it_was_written_and_one_of_another_release_as_far_as_it_is_known() -> None:
    figures = Figures("1 a", "2026-11-29T10:00:00+00:00", Work({"created": 1}), Waiting(1), (Lead("events", "x"),))
    written = json.loads(json.dumps(asdict(figures)))
    assert to_figures(json.dumps(written)) == figures
    written["work"] |= {"invented": 1}
    del written["leads"], written["waiting"]
    assert to_figures(json.dumps(written | {"more": 1})) == Figures(figures.build, figures.began, figures.work)
