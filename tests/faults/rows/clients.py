"""Row 46: clients that are silent, slow or deaf, by the hundred, beside ordinary callers."""

import resource

from tests.faults.crowd import Crowd, Manners, Pace, pace
from tests.faults.resources import memory_of
from tests.faults.rows import row
from tests.faults.trial import Trial
from tests.faults.waiting import until

HEAD = b"POST /createOrder HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
KINDS = (
    Manners("2,000 that send nothing", 2000, b""),
    Manners("500 that send a byte a second", 500, HEAD, b"a"),
    Manners("500 that never read: small answers by the thousand", 500, GET % b"/health" * 2000, reads=False),
    Manners("500 that never read: files", 500, GET % b"/apidocs/swagger-ui-5.35.0/swagger-ui-bundle.js", reads=False),
    Manners("20 with a head without end", 20, HEAD + b"X: ", b"a" * 64, 0.05),
    Manners("500 with a body that stops", 500, HEAD + b"Content-Length: 9\r\n\r\n{"),
)
DESCRIPTORS = 4096
LEAST_SHARE = 0.8
MOST_P99 = 0.25
MOST_MIB = 60.0
CALM_SECONDS = 30.0


@row(46, "clients by the hundred that are silent, slow, deaf", seconds=8.0, times=1, quick=(3.0, 1), limit=600.0)
def bad_manners(trial: Trial) -> None:
    """Eight callers keep their pace beside each kind; the service keeps its size. `seconds` is what is measured."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, DESCRIPTORS)), hard))
    [instance] = trial.stack.start(1)
    pace(instance.port, trial.seconds)  # pools and caches are full then
    before = pace(instance.port, trial.seconds)
    size = memory_of(instance)
    for manners in KINDS:
        with Crowd(instance.port, manners) as crowd:
            until(lambda crowd=crowd, manners=manners: crowd.opened >= manners.clients, manners.name)
            trial.pause(1.0)
            during = pace(instance.port, trial.seconds)
            grown = memory_of(instance) - size
            trial.strike(crowd.opened)
            ended = crowd.ended
        trial.pause(1.0)
        after = pace(instance.port, trial.seconds)
        judge(trial, manners, before, during, after, grown, ended)
        before = after
    until(lambda: instance.get("/livez")[0] == 200, "an answer", CALM_SECONDS)
    trial.row.require("Traceback" not in instance.log_text(), "a trace in the log")


def judge(trial: Trial, manners: Manners, before: Pace, during: Pace, after: Pace, grown: float, ended: int) -> None:
    """Compare with the pace before and after: the machine has other work too."""
    share = during.rate / ((before.rate + after.rate) / 2)
    trial.own(
        f"{manners.name}: {share:.0%} of {(before.rate + after.rate) / 2:.0f} answers a second, p99 "
        f"{during.p99 * 1000:.0f} ms (before {before.p99 * 1000:.0f}), {grown:+.0f} MiB, {ended} cut short",
        share >= LEAST_SHARE and during.p99 <= MOST_P99 and grown <= MOST_MIB,
    )
    trial.row.require(during.failed == 0, f"{during.failed} failed requests beside {manners.name}")
