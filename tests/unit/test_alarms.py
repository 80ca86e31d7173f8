"""Alarms: logged once, shown until they are over."""

import logging

import pytest

from app.services.alarms import Alarms
from app.services.metrics import ALARMS


def shown(name: str) -> float:
    value: float = ALARMS.labels(name)._value.get()
    return value


def test_an_alarm_is_open_until_it_is_cleared() -> None:
    alarms = Alarms()
    alarms.ring("test_open", "Look")
    assert (alarms.all(), shown("test_open")) == ({"test_open": "Look"}, 1)
    alarms.clear("test_open")
    assert (alarms.all(), shown("test_open")) == ({}, 0)


def test_an_alarm_is_logged_once_and_again_with_another_sentence(caplog: pytest.LogCaptureFixture) -> None:
    alarms = Alarms()
    for sentence in ("Look", "Look", "Look there", "Look there"):
        alarms.ring("test_logged", sentence)
    assert [record.getMessage() for record in caplog.records if record.name == "app.services.alarms"] == [
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
    assert [record.getMessage() for record in caplog.records if record.name == "app.services.alarms"][1:] == [
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
