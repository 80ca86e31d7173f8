"""Pages of 1,000 orders, asked for by four clients without pause: what callers of single orders notice of them, and how
much memory they take where each order has as much text as a body may have."""

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.cases.get import gets
from tests.benchmarks.load import Load, finish, judged, start
from tests.benchmarks.measure import Sample, memory_now, peak_memory
from tests.benchmarks.rounds import Reads
from tests.benchmarks.table import Result

ORDERS = 10_000
LIMIT = 1000
PAGE_CLIENTS = 4
CALLERS = 2
LEAD_SECONDS = 1.0  # for which the pages are asked for longer than the single orders
LARGE = "(SELECT string_agg(md5(order_id || n), '') FROM generate_series(1, 4096) AS n)"  # 128 KiB, incompressible
ENLARGE = (
    f"UPDATE orders SET order_description = {LARGE} WHERE order_id IN "
    f"(SELECT order_id FROM orders ORDER BY created_at DESC, order_id DESC LIMIT {LIMIT})"
)


@case("pages", by_name=True)
def pages(bench: Bench) -> Result:
    """Three rounds of single orders: with nothing else, beside pages, beside pages with 125 MiB of text each."""
    database = bench.database("pages", ORDERS)
    ours = bench.ours(database)
    database.settle_loaded()
    reads = gets(bench, ours, connections=CALLERS)
    found = {"getOrderDetails alone": reads(bench.options.seconds)[ours.name]}
    found |= _beside(f"{PAGE_CLIENTS} x {LIMIT} orders", bench, ours, reads)
    database.rows(ENLARGE)
    found["before large pages"] = Sample(memory=memory_now(ours))
    found |= _beside(f"{PAGE_CLIENTS} x {LIMIT} large orders", bench, ours, reads)
    return Result([], found)


def _beside(title: str, bench: Bench, served: Served, reads: Reads) -> dict[str, Sample]:
    """Measure reads while the pages are asked for; each of these must be answered, too."""
    load = Load("GET", f"/orders?limit={LIMIT}", 200)
    seconds = bench.options.seconds
    client = start(load, served.port, seconds + LEAD_SECONDS, PAGE_CLIENTS)
    sample = reads(seconds)[served.name]
    asked = judged(load, finish(client))
    page = Sample(rate=asked.count / asked.seconds, p50=asked.p50, p99=asked.p99, memory=peak_memory(served))
    return {f"getOrderDetails beside {title}": sample, title: page}
