"""Row 39: a snapshot that is held elsewhere keeps every dead row, and nobody is slower for it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg2
from kafka import KafkaConsumer, TopicPartition
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ

from tests.faults.rows import row
from tests.faults.rows.broker import PARTITIONS
from tests.faults.trial import Trial
from tests.harness.service import Instance
from tests.harness.waiting import until

EVENTS_A_SECOND = 1000
BURST = 4000
TRIES = 7  # the best of which counts: others use the machine too
LISTS = 60
SLOWER = 1.2
LEEWAY_SECONDS = 0.001  # of a list that takes some milliseconds
ALARM_SECONDS = 20.0  # 10,000 dead rows are there after 10
EVENTS = (
    "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, payload) "
    "SELECT gen_random_uuid(), 'order-' || n %% 100, 'ORDER_UPDATED', %s, '{}' FROM generate_series(1, %s) AS n"
)
WRITE = f"WITH made AS ({EVENTS} RETURNING id) SELECT min(id) FROM made"
# From an id on: to look for any row would be to walk over the dead ones, which is what the relay must not do.
WAITING = "SELECT 1 FROM outbox WHERE id >= %s LIMIT 1"
# As orders that come and go: whatever is folded, their sum is nothing.
DELTAS = (
    "INSERT INTO order_count_deltas (sign, order_status, cust_id, created_at) "
    "SELECT 1 - 2 * (n %% 2), 'CREATED', %s, now() FROM generate_series(1, 2 * %s) AS n"
)
DEAD = "DELETE FROM outbox WHERE correlation_id = 'dead'; DELETE FROM order_count_deltas WHERE cust_id = 'dead'"


@row(39, "a snapshot held while 1,000 events a second leave", seconds=600, times=1, quick=(12.0, 600), limit=900)
def held_snapshot(trial: Trial) -> None:
    """In its short form dead rows that were made by hand stand in for most of the time. Its events are its own."""
    (instance,) = trial.stack.start(1)
    topic = Topic(trial)
    rate, lists = topic.rate(), time_of_lists(instance)
    with a_snapshot(trial) as pid:
        with topic.traffic():
            made = trial.times * 1000
            trial.query(f"{EVENTS}; {DELTAS}; {DEAD}", "dead", made, "dead", made)
            began = time.monotonic()
            until(lambda: names(trial, pid), "the alarm that names the session", ALARM_SECONDS)
            trial.own(f"named by the alarm after {time.monotonic() - began:.0f} s")
            while trial.lasts():
                trial.pause(0.5)
        trial.strike(topic.sent)
        compare(trial, "events a second", rate, topic.rate(), lambda before, now: now >= before / SLOWER)
        compare(trial, "seconds a list", lists, time_of_lists(instance), lambda a, b: b <= a * SLOWER + LEEWAY_SECONDS)
    until(lambda: not names(trial, pid), "the end of the alarm")
    trial.own(f"{topic.sent} events, each once on the topic", topic.records() == topic.sent)


class Topic:
    """The row's own events, in the outbox and on the topic."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._places = [TopicPartition(trial.stack.events_topic, partition) for partition in range(PARTITIONS)]
        self.sent = 0

    def records(self) -> int:
        """How many are on the topic."""
        with KafkaConsumer(bootstrap_servers=self._trial.stack.broker.bootstrap) as reader:
            return int(sum(reader.end_offsets(self._places).values()))

    def rate(self) -> float:
        """The best rate at which some thousand events leave the outbox."""
        return max(self._burst() for _ in range(TRIES))

    def _burst(self) -> float:
        first = self.write(BURST)
        began = time.monotonic()
        self.await_gone(first, 0.01)
        return BURST / (time.monotonic() - began)

    def await_gone(self, first: int, pause: float) -> None:
        """Wait until all from that id on have left."""
        while self._trial.query(WAITING, first):
            time.sleep(pause)

    def write(self, count: int) -> int:
        """Write so many and return the first id."""
        ((first,),) = self._trial.query(WRITE, "row 39", count)
        self.sent += count
        return int(first)

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """1,000 events a second while the body runs; all have left at its end."""
        stop, first = threading.Event(), self.write(1)

        def write() -> None:
            while not stop.wait(0.1):
                self.write(EVENTS_A_SECOND // 10)
                self._trial.query(DELTAS, "row 39", EVENTS_A_SECOND // 10)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        self.await_gone(first, 0.1)


@contextmanager
def a_snapshot(trial: Trial) -> Iterator[int]:
    """A session that reads once and is forgotten, in the body; its process."""
    with closing(psycopg2.connect(trial.stack.database_url, application_name="forgotten report")) as connection:
        connection.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ)
        connection.cursor().execute("SELECT count(*) FROM orders")
        yield connection.info.backend_pid


def names(trial: Trial, pid: int) -> bool:
    """Whether an alarm names the session."""
    return any(
        f"session {pid} of" in sentence.lower() and "forgotten report" in sentence for sentence in trial.stack.alarms()
    )


def time_of_lists(instance: Instance) -> float:
    """How long a list takes: a tenth is faster."""
    times = []
    for _ in range(LISTS):
        began = time.monotonic()
        instance.get("/orders?limit=10")
        times.append(time.monotonic() - began)
    return sorted(times)[LISTS // 10]


def compare(trial: Trial, what: str, before: float, now: float, holds: Callable[[float, float], bool]) -> None:
    """Note both figures, and a violation where it is much worse than it was."""
    trial.own(f"{what}: {before:,.4g} before, {now:,.4g} with it", holds(before, now))
