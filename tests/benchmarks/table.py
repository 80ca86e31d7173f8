"""The targets, and the tables of docs/performance.md: what was reached of them, and the figures behind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from tests.benchmarks.measure import Sample
from tools.sections import markdown_table


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should reach. Without a `unit` it is a ratio, the larger the better; with one a limit."""

    title: str
    least: float
    aim: float
    unit: str = ""

    def shown(self, value: float) -> str:
        """Return a value of this target as the table has it."""
        return f"≤ {value:g} {self.unit}" if self.unit else f"{value:g}"

    def verdict(self, value: float) -> str:
        """Return what of the target the value reaches, or by how much it misses it."""
        share = self.least / value if self.unit else value / self.least
        aimed = self.aim / value if self.unit else value / self.aim
        if aimed >= 1:
            return "aim reached"
        return "reached" if share >= 1 else f"missed by {100 * (1 / share - 1 if self.unit else 1 - share):.0f} %"


LARGE = "{orders:,} orders"
LIMIT = 10
MADE = 100_000  # orders of the case of memory
PAGE = "list page {page:,} with exact total"


def middle_page(orders: int) -> int:
    """Return the page in the middle of so many orders."""
    return orders // (2 * LIMIT)


TARGETS: Mapping[str, Target] = {
    "create_event": Target("createOrder until its event is on the topic ÷ usual way", 4, 8),
    "create_outbox": Target("createOrder ÷ usual way with an outbox, events included", 3, 6),
    "create_fastapi": Target("createOrder ÷ FastAPI + asyncpg, events left in the outbox by both", 1.3, 2.5),
    "create_pgbench": Target("createOrder ÷ pgbench, two statements, neither relayed", 0.25, 0.6),
    "accept": Target("verifyAndAcceptOrder ÷ ORM select for update, events included", 3, 4),
    "get": Target("getOrderDetails ÷ ORM", 2, 3),
    "list_first": Target(f"list page 1 with exact total at {LARGE} ÷ ORM paginate with count, time", 100, 250),
    "list_deep": Target(f"{PAGE} at {LARGE} ÷ OFFSET + count, time", 40, 60),
    "filters": Target(f"status, runnerId, customer filters at {LARGE}, page 1: the slowest p50", 5, 2, "ms"),
    "commands": Target("commands/s from topic to reply on the topic ÷ usual way", 15, 40),
    "relay": Target("relay events/s ÷ the same batches through kafka-python as installed", 5, 7),
    "latency_p50": Target("commit → event on the topic, one order at a time, p50", 20, 8, "ms"),
    "latency_p99": Target("commit → event on the topic, one order at a time, p99", 60, 25, "ms"),
    "memory": Target("RSS of a worker with ROLES=all after {made:,} orders", 120, 90, "MiB"),
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
    """Return the ratio of what was done a second."""
    done, by_peer = _there(ours.rate), _there(peer.rate)
    return Row(target, done / by_peer, f"{done:,.0f} /s", f"{by_peer:,.0f} /s")


def times(target: str, ours: Sample, peer: Sample) -> Row:
    """Return the ratio of the time of a call, inverted: the larger the better."""
    took, by_peer = _there(ours.p50), _there(peer.p50)
    return Row(target, by_peer / took, f"{took:.2f} ms", f"{by_peer:.2f} ms")


def figure(target: str, value: float) -> Row:
    """Return a figure that has a limit and no peer."""
    return Row(target, value, f"{value:.2f} {TARGETS[target].unit}")


def _there(figure: float | None) -> float:
    if not figure:
        raise ValueError("there is no such figure")
    return figure


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case: figures with targets, the medians behind them, sections of the document of its own."""

    rows: list[Row] = field(default_factory=list)
    samples: dict[str, Sample] = field(default_factory=dict)
    sections: dict[str, list[str]] = field(default_factory=dict)


def ratio_table(rows: Iterable[Row], orders: int) -> list[str]:
    """Return the lines of the table of targets, none without any; `orders`: those of the large table."""
    head = ["what", "this service", "the peer", "ratio", "at least", "aim", "verdict"]
    lines = []
    for row in rows:
        target = TARGETS[row.target]
        ratio = "-" if target.unit else f"{row.value:.2f}"
        title = target.title.format(orders=orders, page=middle_page(orders), made=min(orders, MADE))
        limits = [target.shown(target.least), target.shown(target.aim)]
        lines.append([title, row.ours, row.peer, ratio, *limits, target.verdict(row.value)])
    return markdown_table(head, lines) if lines else []


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
