"""Rows 32 and 33: small faults one after the other for a long time, and several at once."""

import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence

from tests.faults.resources import memory_of
from tests.faults.rows import row
from tests.faults.rows.database import one_frozen
from tests.faults.trial import Trial
from tests.harness.service import Instance
from tests.harness.waiting import until

EVERY_SECONDS = 5.0
MIB_AN_HOUR = 1.0
NOISE_MIB = 3.0  # what the memory of a process at rest goes up and down by

Fault = Callable[[Trial, Instance], None]


def kill_instance(trial: Trial, victim: Instance) -> None:
    """kill -9, and a start."""
    victim.kill()
    victim.start()


def stop_instance(trial: Trial, victim: Instance) -> None:
    """SIGTERM, and a start."""
    victim.terminate()
    victim.start()


def freeze_instance(trial: Trial, victim: Instance) -> None:
    """SIGSTOP for a while, now and then for longer than the lease."""
    victim.freeze()
    trial.pause(0.5, 9.0)
    victim.thaw()


def kill_broker(trial: Trial, _: Instance) -> None:
    """kill -9 of the broker, and a start."""
    trial.stack.broker.kill()
    trial.pause(0.5, 2.0)
    trial.stack.broker.start()


def crash_database(trial: Trial, _: Instance) -> None:
    """An immediate stop of PostgreSQL, and a start."""
    trial.stack.postgres.stop("immediate")
    trial.pause(0.2, 2.0)
    trial.stack.postgres.start()


def end_backends(trial: Trial, _: Instance) -> None:
    """Some connections of the service are ended by the server."""
    trial.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'order-service' AND datname = current_database() ORDER BY random() LIMIT 5"
    )


def freeze_backend(trial: Trial, _: Instance) -> None:
    """One backend of the service answers nothing for a while."""
    with one_frozen(trial):
        trial.pause(1.0, 4.0)


INSTANCE_FAULTS: Sequence[Fault] = (kill_instance, stop_instance, freeze_instance)
BROKER_FAULTS: Sequence[Fault] = (kill_broker,)
DATABASE_FAULTS: Sequence[Fault] = (crash_database, end_backends, freeze_backend)
KINDS = (INSTANCE_FAULTS, BROKER_FAULTS, DATABASE_FAULTS)


@row(32, "soak: a fault every 5 s (of two hours when asked to)", seconds=300.0, limit=600)
def soak(trial: Trial) -> None:
    """One instance is never touched: its memory is watched from the time when it is warm."""
    memory: list[tuple[float, float]] = []
    faults = [fault for kind in KINDS for fault in kind]
    with trial.under_load(wishes=60, commands=60):
        watched, victim = trial.instances
        while trial.lasts():
            next_at = time.monotonic() + EVERY_SECONDS
            trial.rng.choice(faults)(trial, victim)
            trial.strike()
            memory.append((time.monotonic(), memory_of(watched)))
            trial.pause(max(next_at - time.monotonic(), 0))
        heal(trial)
    slope, allowed = growth(memory)
    trial.own(f"memory grew by {slope:.1f} MiB in the second half (allowed {allowed:.1f})", slope <= allowed)
    trial.settle(twins=True)


def growth(memory: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return how much more the last quarter uses than the third, in MiB, and how much more it may use."""
    quarter = max(len(memory) // 4, 1)
    third, last = memory[-2 * quarter : -quarter], memory[-quarter:]
    hours = (last[-1][0] - third[0][0]) / 3600
    used = statistics.median(it for _, it in last) - statistics.median(it for _, it in third)
    return used, MIB_AN_HOUR * hours + NOISE_MIB


@row(33, "mixed: random faults of every kind at once", seconds=120.0, limit=500)
def mixed(trial: Trial) -> None:
    """One thread a kind of fault, each with a random pause, so that they overlap in every way."""
    stop = threading.Event()
    with trial.under_load(wishes=60, commands=60):
        threads = [Trouble(trial, kind, stop, f"{trial.seed}-{number}") for number, kind in enumerate(KINDS)]
        for thread in threads:
            thread.start()
        while trial.lasts():
            trial.pause(0.2)
        stop.set()
        for thread in threads:
            thread.join(120)
            trial.row.require(not thread.failure, f"the faults themselves failed: {thread.failure}")
            trial.strike(thread.struck)
        heal(trial)
    trial.settle(60, twins=True)
    trial.own(", ".join(f"{thread.struck} of kind {number + 1}" for number, thread in enumerate(threads)))


class Trouble(threading.Thread):
    """Makes faults of one kind until `stop`; they end healed."""

    def __init__(self, trial: Trial, kind: Sequence[Fault], stop: threading.Event, seed: str) -> None:
        super().__init__(daemon=True)
        self._trial = trial
        self._kind = kind
        self._stop_asked = stop
        self._rng = random.Random(seed)
        self.struck = 0
        self.failure = ""

    def run(self) -> None:
        """One fault after the other."""
        while not self._stop_asked.wait(self._rng.uniform(0.5, 6.0)):
            fault, victim = self._rng.choice(self._kind), self._rng.choice(self._trial.instances)
            try:
                fault(self._trial, victim)
            except Exception as error:  # noqa: BLE001 - told in the thread that can fail the row
                self.failure = f"{fault.__name__}: {type(error).__name__}: {error}"
                return
            self.struck += 1


def heal(trial: Trial) -> None:
    """Leave everything running, and wait until writes are answered again."""
    for instance in trial.instances:
        until(instance.ready, "an instance that is ready")
    trial.await_writes(30)
