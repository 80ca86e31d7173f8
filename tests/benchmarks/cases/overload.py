"""More calls than the service can answer, in an open loop: what it answers, how fast, and what it turns away."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.check import require
from tests.benchmarks.measure import Processes, cpu_seconds, peak_memory, percentile
from tests.benchmarks.open_loop import CLOSED, CREATE, GET, KINDS, LIST, REPEAT, Plan, Seen
from tests.benchmarks.picture import Line, Panel, picture
from tests.benchmarks.rounds import DETAILS
from tests.benchmarks.table import Result
from tests.harness.service import CHECKOUT
from tools.sections import markdown_table

ORDERS = 20_000
WIRES = 4_000
CLOSED_WIRES = 64
MOST = 10.0
TIMES = (0.8, 2.0, 5.0, MOST)
CREATES: Mapping[str, float] = {CREATE: 1.0}
MIX: Mapping[str, float] = {CREATE: 0.4, REPEAT: 0.05, GET: 0.4, LIST: 0.15}
BEFORE, DURING, AFTER = 5.0, 10.0, 10.0  # of the picture
QUIET_SHARE = 0.5  # of the best rate, before and after
STEP_SECONDS = 0.5
SETTLING_SECONDS = 1.0
WELL = (200, 201)
LATEST_MS = 1000.0
BODY = json.dumps({"customer_id": "customer-@", "order_details": DETAILS})
HEAD = ["calls a second, times the best rate", "arrivals/s", "answered/s", "share of the best", "p50, ms", "p99, ms"]
HEAD += ["503/s", "p99 of a 503, ms", "without an answer", "cores: service, PostgreSQL, load", "peak memory, MiB"]


@dataclass(frozen=True, slots=True)
class Measured:
    """One round: what was seen, in how many seconds, and how many cores were busy."""

    seen: Seen
    seconds: float
    cores: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Good answers a second, from SETTLING_SECONDS to the end of the round: until then the lines fill."""
        rows = zip(self.seen.due, self.seen.status, self.seen.ms, strict=True)
        ends = [due + ms / 1000 for due, status, ms in rows if status in WELL]
        return sum(SETTLING_SECONDS < end <= self.seconds for end in ends) / (self.seconds - SETTLING_SECONDS)


@case("overload", by_name=True)
def overload(bench: Bench) -> Result:
    """Creates, each under a new key, at several times their best rate; then a picture of all kinds of calls."""
    ours = bench.ours(bench.database("overload", ORDERS))
    ours.database.settle_loaded()
    ids = [order_id for (order_id,) in ours.database.rows("SELECT order_id FROM orders LIMIT 2000")]
    seconds, rounds = bench.options.seconds, bench.options.rounds
    found: dict[float, list[Measured]] = {}
    drive(bench, ours, CLOSED, seconds, CREATES, ids)  # warm up
    for _ in range(rounds):
        best = drive(bench, ours, CLOSED, seconds, CREATES, ids)
        found.setdefault(CLOSED, []).append(best)
        for times in TIMES:
            found.setdefault(times, []).append(drive(bench, ours, times * best.rate, seconds, CREATES, ids))
    memory = peak_memory(ours)
    median_best = statistics.median(measured.rate for measured in found[CLOSED])
    lines = [_row(times, rounds_of, median_best, memory) for times, rounds_of in found.items()]
    calm, drawn = _draw(bench, ours, ids)
    about = f"After the overload of the picture, every call was answered well from {calm:.1f} s on."
    return Result(sections={"overload": [*markdown_table(HEAD, lines), "", about]}, pictures={"overload.svg": drawn})


def drive(
    bench: Bench, ours: Served, rate: float, seconds: float, shares: Mapping[str, float], ids: list[str]
) -> Measured:
    """Measure calls at one rate."""
    wires = CLOSED_WIRES if rate == CLOSED else WIRES
    servers: Sequence[Processes] = (ours, bench.postgres)
    before = [cpu_seconds(server) for server in servers]
    seen = carry_out(Plan(ours.port, [(seconds, rate)], wires, shares, BODY, ids))
    busy = [(cpu_seconds(server) - then) / seconds for server, then in zip(servers, before, strict=True)]
    return Measured(seen, seconds, (*busy, seen.cpu_seconds / seconds))


def carry_out(plan: Plan) -> Seen:
    """Run the load in a process of its own. Raises Wrong where an answer is neither good nor a 503."""
    command = [sys.executable, "-m", "tests.benchmarks.open_loop"]
    given = json.dumps(asdict(plan))
    ended = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, check=True)
    seen = Seen(**json.loads(ended.stdout))
    wrong = {status for status in seen.status if status >= 400} - {503}
    require(not wrong, f"calls were answered with {wrong}")
    return seen


def times_of(seen: Seen, statuses: Sequence[int]) -> list[float]:
    """Return the ms of the calls that were answered so."""
    return [ms for status, ms in zip(seen.status, seen.ms, strict=True) if status in statuses]


def calm_after(seen: Seen, since: float) -> float:
    """Return how many seconds after `since` the last call was due that was not answered well within a second."""
    rows = zip(seen.due, seen.status, seen.ms, strict=True)
    late = [due for due, status, ms in rows if due >= since and (status not in WELL or ms > LATEST_MS)]
    return max(late, default=since) - since


def _row(times: float, rounds: Sequence[Measured], best: float, memory: float) -> list[str]:
    cores = [statistics.median(part) for part in zip(*(measured.cores for measured in rounds), strict=True)]

    def middle(figure: Callable[[Measured], float]) -> str:
        return f"{statistics.median(map(figure, rounds)):,.0f}"

    return [
        f"as many as are answered, {CLOSED_WIRES} callers" if times == CLOSED else f"{times:g}",
        middle(lambda measured: len(measured.seen.due) / measured.seconds),
        middle(lambda measured: measured.rate),
        f"{statistics.median(measured.rate for measured in rounds) / best:.2f}",
        middle(lambda measured: _percentile(measured.seen, WELL, 50)),
        middle(lambda measured: _percentile(measured.seen, WELL, 99)),
        middle(lambda measured: len(times_of(measured.seen, [503])) / measured.seconds),
        middle(lambda measured: _percentile(measured.seen, [503], 99)),
        middle(lambda measured: sum(status <= 0 for status in measured.seen.status)),
        ", ".join(f"{part:.2f}" for part in cores),
        f"{memory:.0f}",
    ]


def _percentile(seen: Seen, statuses: Sequence[int], share: float) -> float:
    times = times_of(seen, statuses)
    return percentile(times, share) if times else 0.0


def _draw(bench: Bench, ours: Served, ids: list[str]) -> tuple[float, str]:
    """Draw how all kinds of calls fare before, in and after an overload; return when it was calm again, in seconds."""
    best = drive(bench, ours, CLOSED, bench.options.seconds, MIX, ids).rate
    phases = [(BEFORE, best * QUIET_SHARE), (DURING, best * MOST), (AFTER, best * QUIET_SHARE)]
    seen = carry_out(Plan(ours.port, phases, WIRES, MIX, BODY, ids))
    span = BEFORE, BEFORE + DURING
    drawn = draw(seen, span, BEFORE + DURING + AFTER, f"{MOST:g} times the best rate, {best:,.0f} a second")
    return calm_after(seen, span[1]), drawn


def draw(seen: Seen, span: tuple[float, float], seconds: float, shade: str) -> str:
    """Return the picture: the share of each kind that is answered well, all answers, and how long they take."""
    steps = _steps(seen, seconds)
    rates = [(at, len(times_of(step, WELL)) / STEP_SECONDS) for at, step in steps]
    refused = [(at, len(times_of(step, [503])) / STEP_SECONDS) for at, step in steps]
    panels = [
        Panel(
            "Share of each kind of call that is answered well, %",
            [Line(name, [(at, _share(step, kind)) for at, step in steps]) for kind, name in enumerate(KINDS)],
        ),
        Panel("Answers a second", [Line("answered well", rates), Line("503", refused)]),
        Panel(
            "Milliseconds from the time of a call to its answer",
            [
                Line("answered well, p99", [(at, _percentile(step, WELL, 99) or None) for at, step in steps]),
                Line("503, p99", [(at, _percentile(step, [503], 99) or None) for at, step in steps]),
            ],
            limit=(LATEST_MS, "one second"),
        ),
    ]
    return picture("An overload, and its end", panels, seconds, span, shade)


def _steps(seen: Seen, seconds: float) -> list[tuple[float, Seen]]:
    """Return what was due in each step, with the time of the step's begin."""
    steps = [Seen() for _ in range(int(seconds / STEP_SECONDS))]
    for due, kind, status, ms in zip(seen.due, seen.kind, seen.status, seen.ms, strict=True):
        steps[min(int(due / STEP_SECONDS), len(steps) - 1)].add(due, kind, status, ms)
    return [(place * STEP_SECONDS, step) for place, step in enumerate(steps)]


def _share(seen: Seen, kind: int) -> float | None:
    found = [status in WELL for of, status in zip(seen.kind, seen.status, strict=True) if of == kind]
    return 100 * sum(found) / len(found) if found else None
