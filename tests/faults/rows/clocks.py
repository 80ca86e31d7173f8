"""Row 45: the broker's clock and the service's differ by two hours, either way."""

import time

from tests.faults.rows import row
from tests.faults.rows.starts import set_clock
from tests.faults.trial import Trial
from tests.harness.waiting import until

SHIFT = 7200
ALARM_SECONDS = 20.0  # 10 are promised; a busy machine may be late
DRAINED_SECONDS = 60.0


@row(45, "the broker's clock two hours behind, then two hours ahead", quick=(8.0, 1))
def shifted(trial: Trial) -> None:
    """Behind, it refuses what the service writes, and an alarm says why; ahead, it takes all.

    It is the time of the service's records that is shifted: libfaketime makes the broker's Java too slow to work.
    """
    offset = trial.stack.folder / "records-clock"
    set_clock(offset, 0)
    for _ in range(2):
        trial.stack.instance(wsgi="tests.faults.failing_app:app", RECORDS_CLOCK=str(offset)).start()
    with trial.under_load():
        since = time.monotonic()
        set_clock(offset, SHIFT)
        trial.strike()
        until(lambda: _named(trial), "the alarm that names the clock", ALARM_SECONDS)
        trial.own(f"behind: alarm after {time.monotonic() - since:.1f} s: {_named(trial)[0]}")
        trial.pause(trial.seconds / 2)
        set_clock(offset, -SHIFT)
        trial.strike()
        until(lambda: not _waiting(trial), "the events that had waited to leave", DRAINED_SECONDS)
        trial.own("ahead: all that had waited has left")
        trial.pause(trial.seconds / 2)
        set_clock(offset, 0)
        until(lambda: not trial.stack.alarms(), "the end of the alarms", DRAINED_SECONDS)
    trial.no_failures(since)
    trial.settle(DRAINED_SECONDS)


def _named(trial: Trial) -> list[str]:
    return [sentence for sentence in trial.stack.alarms() if "message.timestamp.after.max.ms" in sentence]


def _waiting(trial: Trial) -> bool:
    return bool(trial.query("SELECT FROM outbox WHERE created_at < now() - interval '5 s' LIMIT 1"))
