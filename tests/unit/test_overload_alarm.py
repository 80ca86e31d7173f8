"""A long overload rings; a short one does not, and the end of a long one clears."""

from app.server.overload_alarm import OVERLOADED, QUIET_SECONDS, RING_AFTER_SECONDS, OverloadAlarm
from app.utils.alarms import Alarms


def looks(alarm: OverloadAlarm, begin: float, seconds: float, *, is_shedding: bool = True) -> None:
    for step in range(int(seconds) + 1):
        alarm.look(begin + step, is_shedding=is_shedding)


def test_a_minute_of_it_rings_and_its_end_clears() -> None:
    alarms = Alarms()
    alarm = OverloadAlarm(alarms)
    looks(alarm, 0.0, RING_AFTER_SECONDS - 1)
    assert alarms.all() == {}
    looks(alarm, RING_AFTER_SECONDS, 20)
    assert list(alarms.all()) == [OVERLOADED]
    looks(alarm, 100.0, QUIET_SECONDS + 1, is_shedding=False)
    assert alarms.all() == {}


def test_short_ones_do_not_add_up() -> None:
    alarms = Alarms()
    alarm = OverloadAlarm(alarms)
    for begin in range(0, 300, 50):
        looks(alarm, float(begin), 30)
        looks(alarm, begin + 31.0, QUIET_SECONDS + 5, is_shedding=False)
    assert alarms.all() == {}


def test_a_short_pause_is_no_end() -> None:
    alarms = Alarms()
    alarm = OverloadAlarm(alarms)
    looks(alarm, 0.0, 40)
    looks(alarm, 41.0, QUIET_SECONDS - 3, is_shedding=False)
    looks(alarm, 50.0, 12)
    assert list(alarms.all()) == [OVERLOADED]
