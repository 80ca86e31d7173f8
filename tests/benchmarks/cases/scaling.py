"""One, two and four instances, each role in processes of its own: throughput, lag, who relays, what is busy.

All on the same cores: what more instances cost and share, not what more machines would give.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.benchmarks import load
from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.cases.commands import ORDERS, Commands
from tests.benchmarks.check import require
from tests.benchmarks.measure import Processes, cpu_seconds, percentile
from tests.benchmarks.rounds import ALL, CREATE, get
from tests.benchmarks.table import Result
from tests.benchmarks.topics import appended
from tests.harness.service import Instance
from tools.sections import markdown_table

COUNTS = (1, 2, 4)
PACE_SECONDS = 0.05
HANDLED = "SELECT coalesce(sum(next_offset), 0) FROM consumer_offsets WHERE topic = %s"
HEAD = ["instances of each role", "createOrder/s, events included", "cores busy: api, worker, PostgreSQL, Kafka"]
HEAD += ["commands/s", "cores busy", "lag at half of that: p50, most", "commands handled by each worker", "relays"]

T = TypeVar("T")
Parts = Sequence[Sequence[Processes]]


@case("scaling", by_name=True)
def scaling(bench: Bench) -> Result:
    """The same load on each number of instances."""
    lines = []
    for count in COUNTS:
        lines.append([str(count), *_with(bench, count)])
        bench.clear()
    return Result(sections={"scaling": markdown_table(HEAD, lines)})


def _with(bench: Bench, count: int) -> list[str]:
    database = bench.database(f"scaling_{count}", ORDERS, "CREATED")
    workers = [bench.ours(database, "worker 0", ROLES="worker")]
    events = workers[0].events
    workers += [bench.ours(database, f"worker {place}", events, ROLES="worker") for place in range(1, count)]
    apis = [bench.ours(database, f"api {place}", events, ROLES="api") for place in range(count)]
    database.settle_loaded()
    parts = (apis, workers, [bench.postgres], [bench.broker])
    _create((), apis, bench.options.seconds / 3)  # warm up
    rounds, seconds = bench.options.rounds, bench.options.seconds
    created, busy = _medians(rounds, lambda: _create(parts, apis, seconds))
    commands = Commands(bench, workers[0])
    commands(seconds)  # finds out how many a round takes
    before = [_handled(it) for it in workers]
    rate, busy_with_commands = _medians(rounds, lambda: _handle(parts, commands, int(commands.rate * seconds)))
    shares = [f"{_handled(it) - old:,.0f}" for it, old in zip(workers, before, strict=True)]
    lags = _lags(bench, commands, rate / 2)
    relays = [it.name for it in workers if "events" in get(it, "/readyz")["parts"]["relay"]["leads"]]
    require(len(relays) == 1, f"{relays} relay at the same time")
    lag = f"{percentile(lags, 50):,.0f}, {max(lags):,.0f}"
    return [f"{created:,.0f}", busy, f"{rate:,.0f}", busy_with_commands, lag, ", ".join(shares), relays[0]]


def _medians(rounds: int, measure: Callable[[], tuple[float, Sequence[float]]]) -> tuple[float, str]:
    """Return the median rate of so many rounds, and those of the cores that each part kept busy."""
    rates, busy = zip(*(measure() for _ in range(rounds)), strict=True)
    parts = [statistics.median(part) for part in zip(*busy, strict=True)]
    return statistics.median(rates), ", ".join(f"{cores:.2f}" for cores in parts)


def _busy(parts: Parts, act: Callable[[], T]) -> tuple[T, Sequence[float]]:
    """Return what `act` returns, and how many cores each part kept busy meanwhile."""
    began, before = time.monotonic(), [sum(map(cpu_seconds, servers)) for servers in parts]
    result = act()
    seconds, after = time.monotonic() - began, [sum(map(cpu_seconds, servers)) for servers in parts]
    return result, [(now - then) / seconds for now, then in zip(after, before, strict=True)]


def _create(parts: Parts, apis: Sequence[Served], seconds: float) -> tuple[float, Sequence[float]]:
    """Return the orders a second, events included, from a client for each instance, and who is busy."""
    events, database = apis[0].events, apis[0].database
    before = database.number(ALL)

    def ask() -> list[load.Answers]:
        clients = [load.start(CREATE, it.port, seconds, load.CONNECTIONS // len(apis)) for it in apis]
        answers = [load.judged(CREATE, load.finish(client)) for client in clients]
        events.await_count(sum(it.count for it in answers))
        return answers

    answers, busy = _busy(parts, ask)
    count = sum(it.count for it in answers)
    _, last = appended(events.take(count))
    rows = database.number(ALL) - before
    require(rows == count, f"{rows} rows for {count} answers")
    ended = max(last, *(it.ended for it in answers))
    return count / (ended - min(it.began for it in answers)), busy


def _handle(parts: Parts, commands: Commands, count: int) -> tuple[float, Sequence[float]]:
    """Return the commands a second from their topic to the last reply, and who is busy."""
    before, sent = commands.served.database.number(ALL), commands.commands(count)

    def ask() -> float:
        began = commands.publish(sent)
        commands.served.events.await_count(count)
        return began

    began, busy = _busy(parts, ask)
    return count / (commands.judge(sent, before) - began), busy


def _lags(bench: Bench, commands: Commands, a_second: float) -> list[float]:
    """Publish at a steady pace, and return how many commands were waiting each time that some were added."""
    database, topic = commands.served.database, commands.served.commands_topic
    before, orders = database.number(HANDLED, topic), database.number(ALL)
    sent: list[dict[str, object]] = []
    lags = []
    began = time.monotonic()
    while (due := time.monotonic() - began) < bench.options.seconds:
        some = commands.commands(int(due * a_second) - len(sent))
        commands.publish(some)
        sent += some
        lags.append(float(len(sent) - (database.number(HANDLED, topic) - before)))
        time.sleep(PACE_SECONDS)
    commands.served.events.await_count(len(sent))
    commands.judge(sent, orders)
    return lags


def _handled(worker: Served) -> float:
    assert isinstance(worker.server, Instance)
    return worker.server.metric("order_commands_total")
