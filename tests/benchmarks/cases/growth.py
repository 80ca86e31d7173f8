"""Ten million orders beside a hundred thousand: how much longer each call takes, and how large the tables are.

One call at a time on both, in turn. With `--orders` the larger table has so many, the smaller one a hundredth.
"""

from collections.abc import Iterable

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.cases.accept import accepts
from tests.benchmarks.cases.filters import filtered
from tests.benchmarks.cases.get import gets
from tests.benchmarks.cases.lists import pages
from tests.benchmarks.measure import Side, interleaved
from tests.benchmarks.rounds import ALL, CREATE, Writes
from tests.benchmarks.table import Result, middle_page
from tools.sections import markdown_table

TIMES_LARGER = 100
TIMES_THE_DEFAULT = 10
LONGER = 1.5
ACCEPTED = 20_000
SHOWN_BYTES = 2**20
LOAD_SECONDS = 3600.0
SIZES = (
    "SELECT relname, pg_relation_size(oid) FROM pg_class "
    "WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace"
)


@case("growth", by_name=True)
def growth(bench: Bench) -> Result:
    """Everything that HTTP callers do."""
    orders = bench.options.orders * TIMES_THE_DEFAULT
    served = {}
    for count in (orders // TIMES_LARGER, orders):
        database = bench.database(f"growth_{count}", count)
        served[count] = bench.ours(database, f"{count:,} orders")
        database.settle_loaded(LOAD_SECONDS)
    small, large = served.values()
    lines = []
    for subject, sides in subjects(bench, small, large):
        found = interleaved(sides, bench.options.rounds, bench.options.seconds)
        before, after = (sample.p50 or 0.0 for name, sample in found.items() if not name.endswith("topic"))
        verdict = "reached" if after <= LONGER * before else "missed"
        lines.append([subject, f"{before:.2f}", f"{after:.2f}", f"{after / before:.2f}", f"≤ {LONGER}", verdict])
    head = ["one call at a time, p50", f"{small.name}, ms", f"{large.name}, ms", "ratio", "at most", "verdict"]
    return Result(sections={"growth": [*markdown_table(head, lines), "", *sizes(small, large)]})


def subjects(bench: Bench, small: Served, large: Served) -> Iterable[tuple[str, list[Side]]]:
    """Yield what is measured, and how at both sizes."""
    both = (small, large)
    yield "getOrderDetails", [gets(bench, it, connections=1) for it in both]
    yield "list page 1", [pages(bench, it, 1, 1) for it in both]
    yield "list, page in the middle", [pages(bench, it, middle_page(it.database.number(ALL)), 1) for it in both]
    for (column, side), (_, other) in zip(*(columns(bench, it) for it in both), strict=True):
        yield f"filter {column}", [side, other]
    for it in both:  # of the few there are only so many
        it.database.load(ACCEPTED, ["CREATED"])
    yield "verifyAndAcceptOrder", [accepts(bench, it, ACCEPTED, connections=1) for it in both]
    yield "createOrder", [Writes(bench, it, CREATE, "ORDER_CREATED", connections=1) for it in both]


def columns(bench: Bench, served: Served) -> Iterable[tuple[str, Side]]:
    """Yield each filter's column and rounds of it, called by the size."""
    for reads in filtered(bench, served):
        column, reads.name = reads.name, served.name
        yield column, reads


def sizes(small: Served, large: Served) -> list[str]:
    """Return the table of the sizes of tables and indexes, the largest first."""
    before, after = (dict(it.database.rows(SIZES)) for it in (small, large))
    shown = sorted((name for name in after if after[name] >= SHOWN_BYTES), key=lambda name: -after[name])
    lines = [[name, f"{before.get(name, 0) / 2**20:,.1f}", f"{after[name] / 2**20:,.1f}"] for name in shown]
    return markdown_table(["table or index", f"{small.name}, MiB", f"{large.name}, MiB"], lines)
