"""Alarms: logged once, shown until they are over."""

import logging
import time

import pytest

from app.utils.alarms import Alarms, kind_of
from app.utils.limits import ALARM_LEASE_SECONDS


def shown(alarms: Alarms, name: str) -> int | None:
    return alarms.by_kind().get(name)


def test_an_alarm_is_open_until_it_is_cleared() -> None:
    alarms = Alarms()
    alarms.ring("test_open", "Look")
    assert (alarms.all(), shown(alarms, "test_open")) == ({"test_open": "Look"}, 1)
    alarms.clear("test_open")
    assert (alarms.all(), shown(alarms, "test_open")) == ({}, 0)


def test_an_alarm_is_logged_once_and_again_with_another_sentence(caplog: pytest.LogCaptureFixture) -> None:
    alarms = Alarms()
    for sentence in ("Look", "Look", "Look there", "Look there"):
        alarms.ring("test_logged", sentence)
    assert [record.getMessage() for record in caplog.records if record.name == "app.utils.alarms"] == [
        "alarm test_logged: Look",
        "alarm test_logged: Look there",
    ]
    assert alarms.all() == {"test_logged": "Look there"}


def test_only_an_open_alarm_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app")
    alarms = Alarms()
    alarms.clear("test_never")
    alarms.ring("test_over", "Look")
    alarms.clear("test_over")
    alarms.clear("test_over")
    assert [record.getMessage() for record in caplog.records if record.name == "app.utils.alarms"][1:] == [
        "alarm test_over is over"
    ]


def test_what_is_shown_is_a_copy() -> None:
    alarms = Alarms()
    alarms.all()["x"] = "y"
    assert alarms.all() == {}


def test_what_happened_once_is_shown_until_a_person_has_seen_it() -> None:
    alarms = Alarms()
    alarms.happened("test_happened_0_17", "Commands 17 to 19 of partition 0 are lost")
    assert alarms.all() == {"test_happened_0_17": "Commands 17 to 19 of partition 0 are lost"}


def test_a_condition_that_nobody_renews_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    alarms, now = Alarms(), [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    alarms.ring("offset_0", "Cut")
    alarms.ring("offset_1", "Cut")
    alarms.happened("lost_0_17", "Lost")
    now[0] += ALARM_LEASE_SECONDS - 1
    alarms.ring("offset_1", "Cut")
    now[0] += 2
    assert alarms.all() == {"lost_0_17": "Lost", "offset_1": "Cut"}


def test_what_no_table_can_hold_is_shown_too() -> None:
    alarms = Alarms()
    alarms.ring("test_odd", "NUL \0 and half of a pair \ud800")
    assert alarms.all() == {"test_odd": "NUL ? and half of a pair ?"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("offset_0", "offset"),
        ("commands_lost_0_1234", "commands_lost"),
        ("relay_dead_letters", "relay_dead_letters"),
        ("topic_anew_3f2a", "topic_anew"),
        ("17", "17"),
    ],
)
def test_the_kind_of_an_alarm_is_what_stands_before_its_numbers(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_the_metric_counts_by_kind_and_goes_back_to_nothing() -> None:
    alarms = Alarms()
    alarms.ring("test_many_0", "Cut")
    alarms.ring("test_many_1", "Cut")
    assert shown(alarms, "test_many") == 2
    alarms.clear("test_many_0")
    alarms.clear("test_many_1")
    assert shown(alarms, "test_many") == 0
