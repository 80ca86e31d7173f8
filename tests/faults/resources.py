"""What an instance uses: memory, threads, descriptors, connections to PostgreSQL, log lines [I10]."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass

import psutil
import psycopg2
from psycopg2.extensions import cursor as Cursor

from tests.harness.load import Connection
from tests.harness.service import Instance
from tests.harness.stack import Stack

CALLERS = 48  # more than an instance has threads: its pools are then as large as they get
LOCKED_SECONDS = 1.5  # under the 2 s after which the service gives a lock up
STEADY_LOOKS = 4
WAITING = "SELECT count(*) FROM pg_locks WHERE relation = 'orders'::regclass AND NOT granted"
BACK_SECONDS = 20.0
THREADS_SECONDS = 30.0
CALM_SECONDS = 4.0  # twice the longest pause before a thread begins anew
SPARE_CONNECTIONS = 4  # two pools of each instance open their second connection when two of its threads meet
# A Kafka client holds one connection to a broker or two, depending on how it got there.
SPARE_DESCRIPTORS = 4 + SPARE_CONNECTIONS


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over the processes of all instances; `memory` in MiB, that of the largest process."""

    memory: float
    threads: int
    descriptors: int
    connections: int

    def above(self, before: "Usage") -> list[str]:
        """Return what is more than before, memory left out."""
        spare = {"threads": 0, "descriptors": SPARE_DESCRIPTORS, "connections": SPARE_CONNECTIONS}
        pairs = [(name, getattr(before, name), getattr(self, name)) for name in spare]
        return [f"{name} grew from {old} to {new}" for name, old, new in pairs if new > old + spare[name]]


def measure(stack: Stack) -> Usage:
    """Return what the instances use once their pools are filled and the callers' connections are gone."""
    fill_pools(stack)
    before, now = None, _measure(stack.instances, stack.postgres.port)
    while before is None or now.descriptors < before.descriptors:
        time.sleep(0.5)
        before, now = now, _measure(stack.instances, stack.postgres.port)
    return now


def _measure(instances: Sequence[Instance], database_port: int) -> Usage:
    memory, threads, descriptors, connections = 0.0, 0, 0, 0
    for process in [process for instance in instances for process in instance.processes()]:
        with suppress(psutil.NoSuchProcess):
            memory = max(memory, process.memory_info().rss / 2**20)
            threads += process.num_threads()
            descriptors += process.num_fds()
            peers = [it.raddr for it in process.net_connections("tcp") if it.status == psutil.CONN_ESTABLISHED]
            connections += sum(peer.port == database_port for peer in peers)
    return Usage(memory, threads, descriptors, connections)


def await_threads(instances: Sequence[Instance]) -> None:
    """Block until no thread of them begins anew, THREADS_SECONDS at the longest.

    librdkafka's mock broker turns members away while a group forms: a consumer between two tries has neither client nor
    connection yet.
    """
    give_up = time.monotonic() + THREADS_SECONDS
    before, restarts = None, _restarts(instances)
    while restarts != before and any(restarts) and time.monotonic() < give_up:
        time.sleep(CALM_SECONDS)
        before, restarts = restarts, _restarts(instances)


def _restarts(instances: Sequence[Instance]) -> list[int]:
    return [part.get("restarts", 0) for instance in instances for part in instance.parts().values()]


def measure_back(stack: Stack, before: Usage) -> Usage:
    """Return what is used as soon as it is not more than before, after BACK_SECONDS whatever it is."""
    give_up = time.monotonic() + BACK_SECONDS
    while True:
        now = measure(stack)
        if not now.above(before) or time.monotonic() > give_up:
            return now


def fill_pools(stack: Stack) -> None:
    """Make every pool of threads and connections as large as it gets: all callers wait for one locked table."""

    def ask(port: int) -> None:
        with Connection([port]) as connection:
            connection.call("GET", "/orders")

    with closing(psycopg2.connect(stack.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        ports = CALLERS * [instance.port for instance in stack.instances]
        with ThreadPoolExecutor(len(ports)) as callers:
            asked = [callers.submit(ask, port) for port in ports]
            await_steady(lambda: number_of(cursor, WAITING))
            connection.rollback()
            for one in asked:
                one.result()


def number_of(cursor: Cursor, statement: str) -> int:
    """Return the one number that the statement asks for."""
    cursor.execute(statement)
    [(number,)] = cursor.fetchall()
    return int(number)


def await_steady(number: Callable[[], int]) -> None:
    """Return when the number is above 0 and no longer grows, after LOCKED_SECONDS whatever it is."""
    give_up = time.monotonic() + LOCKED_SECONDS
    seen: list[int] = []
    while time.monotonic() < give_up and (not seen or not seen[-1] or seen[-STEADY_LOOKS:] != STEADY_LOOKS * seen[-1:]):
        time.sleep(0.1)
        seen.append(number())


def memory_of(instance: Instance) -> float:
    """Return the memory of its largest process in MiB."""
    sizes = []
    for process in instance.processes():
        with suppress(psutil.NoSuchProcess):
            sizes.append(process.memory_info().rss / 2**20)
    return max(sizes, default=0.0)


def log_lines(instances: Sequence[Instance]) -> list[int]:
    """Return how many lines each instance has logged."""
    return [instance.log_text().count("\n") for instance in instances]
