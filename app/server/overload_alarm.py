"""The alarm of a service that has been turning requests away for long."""

import math

from app.utils.alarms import Alarms

OVERLOADED = "overloaded"
RING_AFTER_SECONDS = 60.0
QUIET_SECONDS = 10.0
RENEW_SECONDS = 5.0


class OverloadAlarm:
    """Rings once requests have been turned away for RING_AFTER_SECONDS, without a pause of QUIET_SECONDS."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._since = math.inf
        self._last = self._rung_at = -math.inf

    def look(self, now: float, *, is_shedding: bool) -> None:
        """Ring, renew or clear; returns at once."""
        if is_shedding:
            self._last = now
            self._since = min(self._since, now)
        elif now - self._last > QUIET_SECONDS and self._since < math.inf:
            self._since = math.inf
            self._alarms.clear(OVERLOADED)
        if now - self._since >= RING_AFTER_SECONDS and now - self._rung_at >= RENEW_SECONDS:
            self._rung_at = now
            sentence = "Requests are turned away because the service has more to do than it can"
            self._alarms.ring(OVERLOADED, f"{sentence}, for over {RING_AFTER_SECONDS:.0f} s")
