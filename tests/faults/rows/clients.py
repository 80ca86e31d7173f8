"""Row 46: clients that are silent, slow or deaf, by the hundred, beside ordinary callers."""

import resource
from dataclasses import dataclass
from statistics import median

from tests.faults.crowd import Crowd, Manners, Pace, pace
from tests.faults.resources import memory_of
from tests.faults.rows import row
from tests.faults.trial import Trial
from tests.harness.service import Instance
from tests.harness.waiting import until

HEAD = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
KINDS = (
    Manners("2,000 that send nothing", 2000, b""),
    Manners("500 that send a byte a second", 500, HEAD, b"a"),
    Manners("500 that never read a file", 500, GET % b"/apidocs/swagger-ui-5.35.0/swagger-ui-bundle.js", reads=False),
    Manners("20 that ask by the thousand and never read", 20, GET % b"/health" * 2000, reads=False),
    Manners("20 with a head without end", 20, HEAD + b"X: ", b"a" * 64, 0.05),
    Manners("500 with a body that stops", 500, HEAD + b"Content-Length: 9\r\n\r\n{"),
)
DESCRIPTORS = 4096
LEAST_SHARE = 0.8
MOST_P99 = 0.25
MOST_MIB = 60.0


@row(46, "clients by the hundred that are silent, slow, deaf", seconds=6.0, times=3, quick=(3.0, 1), limit=900.0)
def bad_manners(trial: Trial) -> None:
    """Eight callers keep their pace beside each kind; the service keeps its size. `seconds` is how long one looks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, DESCRIPTORS)), hard))
    [instance] = trial.stack.start(1)
    pace(instance.port, trial.seconds)  # pools and caches are full then
    size = memory_of(instance)
    for manners in KINDS:
        looks = [look(trial, instance, manners) for _ in range(trial.times)]
        grown = memory_of(instance) - size
        judge(trial, manners, looks, grown)
    trial.row.require("Traceback" not in instance.log_text(), "a trace in the log")


@dataclass(frozen=True, slots=True)
class Look:
    """What callers got before, beside and after a crowd; the share of it that was cut short."""

    before: Pace
    during: Pace
    after: Pace
    ended: int

    @property
    def share(self) -> float:
        """Of the rate without the crowd: before and after, as the machine has other work too."""
        return 2 * self.during.rate / (self.before.rate + self.after.rate)


def look(trial: Trial, instance: Instance, manners: Manners) -> Look:
    """Measure once."""
    before = pace(instance.port, trial.seconds)
    with Crowd(instance.port, manners) as crowd:
        until(lambda: crowd.opened >= manners.clients, manners.name)
        trial.pause(1.0)
        during = pace(instance.port, trial.seconds)
        trial.strike(crowd.opened)
        ended = crowd.ended
    trial.pause(1.0)
    return Look(before, during, pace(instance.port, trial.seconds), ended)


def judge(trial: Trial, manners: Manners, looks: list[Look], grown: float) -> None:
    """Require the pace, in the median of the looks, and the size."""
    share = median(look.share for look in looks)
    rate = median(look.during.rate for look in looks)
    p99 = median(look.during.p99 for look in looks)
    trial.own(
        f"{manners.name}: {share:.0%} of the rate ({rate:.0f} a second), p99 {p99 * 1000:.0f} ms, {grown:+.0f} MiB, "
        f"{sum(look.ended for look in looks)} cut short",
        share >= LEAST_SHARE and p99 <= MOST_P99 and grown <= MOST_MIB,
    )
    failed = sum(look.during.failed for look in looks)
    trial.row.require(failed == 0, f"{failed} failed requests beside {manners.name}")
