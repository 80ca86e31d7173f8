"""Rows 1-7 and 13: nothing happens, and processes of the service die, stop, freeze or are slow."""

import math
import signal
import time
from functools import partial

from tests.faults.checker import REPLY_TYPES
from tests.faults.fail_points import passed_points, strike_under_load
from tests.faults.kill_one import Killer
from tests.faults.rows import row
from tests.faults.trial import Trial
from tests.harness.found import Found, await_quiet
from tests.harness.service import Instance
from tests.harness.stack import SESSION_TIMEOUT_MS
from tests.harness.waiting import until

RECOVERED_SECONDS = SESSION_TIMEOUT_MS / 1000 + 5
ON_TOPIC_MS = 250.0
STOP_SECONDS = 30.0
TAKE_OVER_SECONDS = 15.0
LEAST_READ_BACKS = 5


@row(1, "none")
def nothing(trial: Trial) -> None:
    """The rates and figures that the other rows are compared with."""
    with trial.under_load():
        while trial.lasts():
            trial.pause(0.2)
    found = trial.settle()
    p99 = percentile(on_topic_ms(found), 99)
    trial.own(f"p99 from change to event on the topic {p99:.0f} ms", p99 <= ON_TOPIC_MS)


@row(2, "kill -9 of one instance every 1-2.5 s", quick=(20.0, 3))
def kill_one(trial: Trial) -> None:
    """Whichever is ready, also while the other is still starting."""
    with trial.under_load():
        killer = Killer(trial.stack, trial.seed)
        while trial.lasts():
            killer.strike()
        killer.heal()
    trial.strike(killer.kills)
    trial.settle(RECOVERED_SECONDS)
    trial.own(f"{killer.kills} kills, {trial.row.figures.get('quiet after, s', math.inf):.1f} s to quiet")
    own_read_backs(trial)


@row(3, "kill -9 of all instances")
def kill_all(trial: Trial) -> None:
    """At once; then all start."""
    with trial.under_load():
        while trial.lasts():
            trial.pause(1.0, 2.5)
            for instance in trial.instances:
                instance.kill()
            trial.strike()
            for instance in trial.instances:
                instance.start()
            trial.await_writes(5)
    trial.settle(RECOVERED_SECONDS)
    own_read_backs(trial)


@row(4, "crash at each point that matters", limit=900)
def fail_points(trial: Trial) -> None:
    """The points are set from outside, by the test program's own entry point."""
    for _ in range(2):
        trial.stack.instance(wsgi="tests.faults.failing_app:app")
    points = passed_points(trial.stack.added.get("WITHOUT"))
    for number, point in enumerate(points):
        struck = strike_under_load(trial.stack, trial.load, trial.seed + number, point, trial.times)
        trial.strike(struck)
        trial.row.require_struck(struck >= trial.times, f"{point} struck {struck} times only")
        await_quiet(trial.stack, 30)
        for instance in trial.instances:
            instance.stop()
    for instance in trial.instances:
        instance.start()
    trial.settle()
    trial.own(f"{len(points)} points, {trial.row.struck} crashes")
    removed = own_read_backs(trial)
    trial.row.require_struck(removed >= LEAST_READ_BACKS, f"only {removed} read-backs removed rows")


@row(5, "SIGTERM under load")
def terminate(trial: Trial) -> None:
    """Of one of two instances at a time: it answers what it has accepted, and ends by itself."""
    slowest = 0.0
    with trial.under_load():
        since = time.monotonic()
        for number in range(trial.times):
            instance = trial.instances[number % 2]
            started = time.monotonic()
            code = instance.terminate()
            slowest = max(slowest, time.monotonic() - started)
            trial.row.require(code == 0, f"ended with {code}")
            trial.strike()
            instance.start()
    trial.no_failures(since, 0, "ConnectionRefusedError")
    trial.own(f"slowest stop {slowest:.1f} s", slowest <= STOP_SECONDS)
    trial.row.require(not any("SIGKILL" in it.log_text() for it in trial.instances), "a SIGKILL was needed")
    trial.settle()


@row(6, "rolling restart, and SIGHUP", quick=(10.0, 2), times=4)
def rolling_restart(trial: Trial) -> None:
    """First one after the other is stopped and started, then each is told to replace its worker."""
    with trial.under_load():
        since = time.monotonic()
        for instance in trial.times * trial.instances:
            trial.row.require(instance.terminate() == 0, "did not end by itself")
            instance.start()
            trial.strike()
        for instance in trial.instances:
            replace_worker(instance)
            trial.strike()
        trial.await_writes(100)
    trial.no_failures(since, 0, "ConnectionRefusedError")
    trial.settle()


@row(7, "SIGSTOP of the relay's leader for 8 s and 60 s", seconds=60.0)
def freeze(trial: Trial) -> None:
    """The other instance takes the lead; the sleeper does no harm on waking."""
    with trial.under_load():
        for seconds in (8.0, trial.seconds):
            leader, other = by_lead(trial.instances)
            leader.freeze()
            started = time.monotonic()
            try:
                until(partial(leads, other), "another leader", TAKE_OVER_SECONDS + 5)
                took = time.monotonic() - started
                time.sleep(max(seconds - took, 0))  # the freeze itself
            finally:
                leader.thaw()
            trial.strike()
            trial.own(f"the other leads after {took:.1f} s", took <= TAKE_OVER_SECONDS)
            trial.await_writes(50)
    trial.settle(twins=True)


@row(13, "a batch that takes longer than max.poll.interval", quick=(15.0, 3))
def slow_handler(trial: Trial) -> None:
    """The group gives the partitions to another member meanwhile; the late commit finds the offset moved."""
    slow = {"FAIL_POINTS": "slow_batch:0.05", "FAIL_STRIKES": str(trial.stack.folder / "strikes")}
    for _ in range(2):
        trial.stack.instance(wsgi="tests.faults.failing_app:app", **slow).start()
    before, went_back = stored_offsets(trial), 0
    with trial.under_load():
        while trial.lasts():
            trial.pause(0.02)
            now = stored_offsets(trial)
            went_back += sum(now[partition] < offset for partition, offset in before.items())
            before = now
    trial.row.require(not went_back, f"a stored offset went back {went_back} times: its commands came again", "I6")
    for instance in trial.instances:
        instance.kill()
        instance.settings["FAIL_POINTS"] = ""
        instance.start()
    trial.settle()
    strikes = (trial.stack.folder / "strikes").read_text().count("slow_batch")
    moved = sum(it.log_text().count("going on from the stored offset") for it in trial.instances)
    trial.strike(strikes)
    trial.own(f"{strikes} slow batches, {moved} of them found the offset moved")
    trial.row.require_struck(moved > 0, "no batch found its offset moved")


def stored_offsets(trial: Trial) -> dict[int, int]:
    """Return the next offset to handle, by partition."""
    return {
        int(str(it[0])): int(str(it[1])) for it in trial.query("SELECT partition, next_offset FROM consumer_offsets")
    }


def own_read_backs(trial: Trial) -> int:
    """Note and return how many read-backs removed rows."""
    removed = [it for it in trial.stack.read_backs() if it]
    trial.own(f"{len(removed)} read-backs removed {sum(removed)} rows")
    return len(removed)


def on_topic_ms(found: Found) -> list[float]:
    """Return the milliseconds from each change's own time to the broker's time of its record."""
    return [
        record.timestamp - record.sent_at * 1000
        for record in found.events
        if record.body["type"] not in REPLY_TYPES or record.header("version")
    ]


def percentile(values: list[float], percent: int) -> float:
    """Return the value that so many percent are not above."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def leads(instance: Instance) -> bool:
    """Whether the instance leads the relay of events."""
    return "events" in instance.parts()["relay"]["leads"]


def by_lead(instances: list[Instance]) -> tuple[Instance, Instance]:
    """Return the leader and another instance."""
    leader = until(lambda: next((it for it in instances if leads(it)), None), "a leader")
    return leader, next(it for it in instances if it is not leader)


def replace_worker(instance: Instance) -> None:
    """Send SIGHUP and return when a new worker answers."""
    main, *workers = instance.processes()
    main.send_signal(signal.SIGHUP)
    until(lambda: not any(worker.is_running() for worker in workers), "the end of the old worker")
    until(instance.ready, "the new worker")
