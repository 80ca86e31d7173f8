"""The targets, and the tables of docs/performance.md: what was reached of them, and the figures behind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from tests.benchmarks.measure import Sample
from tools.sections import markdown_table


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should reach, at least and as the aim; `aim` is None where there is only a limit.

    Without a `unit` it is a ratio, with one the figure itself. Of the latter, and of `most`, less is better.
    """

    title: str
    least: float
    aim: float | None
    unit: str = ""
    most: bool = False

    @property
    def is_limit(self) -> bool:
        """Whether smaller is better."""
        return self.most or bool(self.unit)

    def shown(self, value: float | None) -> str:
        """Return a value of this target as the table has it."""
        if value is None:
            return "-"
        return f"{'≤ ' * self.is_limit}{value:g} {self.unit}".rstrip()

    def verdict(self, value: float) -> str:
        """Return what of the target the value reaches, or by how much it misses it."""
        if self.aim is not None and self._share(self.aim, value) >= 1:
            return "aim reached"
        share = self._share(self.least, value)
        return "reached" if share >= 1 else f"missed by {100 * (1 / share - 1 if self.is_limit else 1 - share):.0f} %"

    def _share(self, wanted: float, value: float) -> float:
        return wanted / value if self.is_limit else value / wanted


LARGE = "{orders:,} orders"
LIMIT = 10
MADE = 100_000  # orders of the cases of memory, of the version before and of what goes on beside
PAGE = "list page {page:,} with exact total"
CPU = "CPU of the service ÷ the version before"
LOOPS = "events left in the outbox by both"
ONE = f"one statement, no history, no counts; {LOOPS}"


def middle_page(orders: int) -> int:
    """Return the page in the middle of so many orders."""
    return orders // (2 * LIMIT)


TARGETS: Mapping[str, Target] = {
    "before_create": Target(f"createOrder, all roles, events on the topic: {CPU}", 0.55, 0.4, most=True),
    "before_get": Target(f"getOrderDetails: {CPU}", 0.4, 0.2, most=True),
    "before_accept": Target(f"verifyAndAcceptOrder with its event: {CPU}", 0.6, 0.45, most=True),
    "before_list": Target(f"page of 20 at {{made:,}} orders: {CPU}", 0.6, 0.4, most=True),
    "create_event": Target("createOrder until its event is on the topic ÷ usual way", 5, 8),
    "create_fastapi": Target(f"createOrder ÷ FastAPI + asyncpg, two statements ({LOOPS})", 1.8, 2.5),
    "create_litestar": Target(f"createOrder ÷ Litestar + asyncpg ({ONE})", 1.1, 1.5),
    "create_fastify": Target(f"createOrder ÷ Fastify + pg ({ONE})", 1.0, 1.3),
    "get_fastapi": Target("getOrderDetails ÷ FastAPI + asyncpg", 2, 4),
    "get_fastify": Target("getOrderDetails ÷ Fastify + pg", 1.5, 2),
    "create_pgbench": Target("createOrder ÷ pgbench, two statements, neither relayed", 0.35, 0.6),
    "list_first": Target(f"list page 1 with exact total at {LARGE} ÷ ORM paginate with count, time", 60, 150),
    "commands": Target("commands/s from topic to reply on the topic ÷ usual way", 15, 25),
    "latency_p50": Target("commit → event on the topic, one order at a time, p50", 20, 8, "ms"),
    "latency_p99": Target("commit → event on the topic, one order at a time, p99", 60, 25, "ms"),
    "memory": Target("RSS of a worker with ROLES=all after {made:,} orders", 110, 90, "MiB"),
    "pages_beside": Target(
        "getOrderDetails of 8 callers beside 4 that ask for pages of 1,000 orders, p99", 60, None, "ms"
    ),
    "backlog_get": Target("getOrderDetails of 8 callers beside {made:,} waiting commands, p99", 50, None, "ms"),
    "backlog_create": Target("createOrder beside {made:,} waiting commands ÷ without them", 0.6, None),
    "auth_api_key": Target("createOrder, CPU of the service: with an API key ÷ asking nobody", 1.05, None, most=True),
    "auth_jwt": Target("createOrder, CPU of the service: with a token ÷ asking nobody", 1.05, None, most=True),
    # What was asked of earlier versions, and is still to hold.
    "create_outbox": Target("createOrder ÷ usual way with an outbox, events included", 3, 6),
    "accept": Target("verifyAndAcceptOrder ÷ ORM select for update, events included", 3, 4),
    "get": Target("getOrderDetails ÷ ORM", 2, 3),
    "list_deep": Target(f"{PAGE} at {LARGE} ÷ OFFSET + count, time", 40, 60),
    "filters": Target(f"status, runnerId, customer filters at {LARGE}, page 1: the slowest p50", 5, 2, "ms"),
    "relay": Target("relay events/s ÷ the same batches through kafka-python as installed", 5, 7),
    "start": Target("import + create_app", 1.0, 0.6, "s"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A figure that has a target: `value` is what the target is about, a ratio or the figure itself."""

    target: str
    value: float
    ours: str
    peer: str = "-"


def rates(target: str, ours: Sample, peer: Sample) -> Row:
    """Return the ratio of what was done a second, with the CPU time of each beside it."""
    done, by_peer = _there(ours.rate), _there(peer.rate)
    return Row(target, done / by_peer, f"{done:,.0f} /s{_cost(ours)}", f"{by_peer:,.0f} /s{_cost(peer)}")


def times(target: str, ours: Sample, peer: Sample) -> Row:
    """Return the ratio of the time of a call, inverted: the larger the better."""
    took, by_peer = _there(ours.p50), _there(peer.p50)
    return Row(target, by_peer / took, f"{took:.2f} ms", f"{by_peer:.2f} ms")


def cpu(target: str, ours: Sample, peer: Sample) -> Row:
    """Return the ratio of the CPU time that the server, without PostgreSQL, takes for each: the smaller the better.

    PostgreSQL's and the rates are beside it.
    """
    took, by_peer = _there(ours.server_cpu), _there(peer.server_cpu)
    return Row(target, took / by_peer, *(f"{_there(it.rate):,.0f} /s{_cost(it)}" for it in (ours, peer)))


def figure(target: str, value: float) -> Row:
    """Return a figure that has a limit and no peer."""
    return Row(target, value, f"{value:.2f} {TARGETS[target].unit}")


def _cost(sample: Sample) -> str:
    """Return the CPU time of the server and of PostgreSQL for each, for the table."""
    if sample.postgres_cpu is None:
        return ""
    of_server = "" if sample.server_cpu is None else f"{sample.server_cpu:.2f} + "
    return f" ({of_server}{sample.postgres_cpu:.2f} ms)"


def _there(figure: float | None) -> float:
    if not figure:
        raise ValueError("there is no such figure")
    return figure


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case: figures with targets, the medians behind them, sections of the document of its own.

    `left_out` says of a target why it was not measured. `pictures`: SVG by the name of its file.
    """

    rows: list[Row] = field(default_factory=list)
    samples: dict[str, Sample] = field(default_factory=dict)
    sections: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)

    def add(self, other: "Result") -> None:
        """Take over what came of another case."""
        self.rows.extend(other.rows)
        self.samples.update(other.samples)
        self.sections.update(other.sections)
        self.left_out.update(other.left_out)
        self.pictures.update(other.pictures)


HEAD = ["what", "this service", "the other", "ratio", "at least", "aim", "verdict"]


def ratio_table(rows: Iterable[Row], orders: int) -> list[str]:
    """Return the lines of the table of what was measured, none without any; `orders`: those of the large table."""
    lines = [_line(row, orders) for row in rows]
    return markdown_table(HEAD, lines) if lines else []


def target_table(result: Result, orders: int) -> list[str]:
    """Return the lines of the table of all targets; one that was not measured says so, and why."""
    measured = {row.target: row for row in result.rows}
    lines = []
    for name, target in TARGETS.items():
        if name in measured:
            lines.append(_line(measured[name], orders))
            continue
        reason = result.left_out.get(name)
        verdict = f"not measured: {reason}" if reason else "not measured"
        lines.append(
            [_title(target, orders), "-", "-", "-", target.shown(target.least), target.shown(target.aim), verdict]
        )
    return markdown_table(HEAD, lines)


def _line(row: Row, orders: int) -> list[str]:
    target = TARGETS[row.target]
    ratio = "-" if target.unit else f"{row.value:.2f}"
    limits = [target.shown(target.least), target.shown(target.aim)]
    return [_title(target, orders), row.ours, row.peer, ratio, *limits, target.verdict(row.value)]


def _title(target: Target, orders: int) -> str:
    return target.title.format(orders=orders, page=middle_page(orders), made=min(orders, MADE))


HEADS = {
    "rate": "a second",
    "p50": "p50, ms",
    "p99": "p99, ms",
    "server_cpu": "CPU of the server, ms each",
    "postgres_cpu": "CPU of PostgreSQL, ms each",
    "memory": "peak memory, MiB",
}


def sample_table(samples: Mapping[str, Sample]) -> list[str]:
    """Return the lines of the table of medians, none without any."""
    if not samples:
        return []
    names = [field.name for field in fields(Sample)]
    lines = [[name, *(_number(getattr(sample, it)) for it in names)] for name, sample in samples.items()]
    return markdown_table(["what", *(HEADS[name] for name in names)], lines)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
