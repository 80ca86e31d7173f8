"""The version before beside this one, each with all roles and its defaults: what a call costs the service now.

Judged by the CPU time of all processes of the service, which drifts less than rates; PostgreSQL's is beside it.
"""

from collections.abc import Iterator, Sequence

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.cases.accept import ORDERS_A_SECOND, accepts
from tests.benchmarks.cases.get import gets
from tests.benchmarks.environment import LeftOut
from tests.benchmarks.load import Load
from tests.benchmarks.measure import Side, interleaved
from tests.benchmarks.rounds import CREATE, Reads, Writes, require_page
from tests.benchmarks.table import MADE, Result, cpu

PAGE_OF = 20
CALLS = {
    "before_get": "getOrderDetails",
    "before_list": f"page of {PAGE_OF}",
    "before_accept": "verifyAndAcceptOrder",
    "before_create": "createOrder",
}


@case("before")
def before(bench: Bench) -> Result:
    """Reads first: they are of so many orders, and the writes make more."""
    result = Result()
    try:
        other = bench.before("before_other")
    except LeftOut as reason:
        return Result(left_out=dict.fromkeys(CALLS, f"{reason}"))
    both = bench.ours(bench.database("before_ours")), other
    for it in both:
        it.database.load(min(MADE, bench.options.orders))
        it.database.settle_loaded()
    for target, sides in _subjects(bench, both):
        found = interleaved(sides, bench.options.rounds, bench.options.seconds)
        ours, theirs = (found[it.name] for it in both)
        result.rows.append(cpu(target, ours, theirs))
        result.samples.update({f"{CALLS[target]}, both versions: {name}": it for name, it in found.items()})
    for it in both:
        it.events.require_end()
    return result


def _subjects(bench: Bench, both: Sequence[Served]) -> Iterator[tuple[str, list[Side]]]:
    yield "before_get", [gets(bench, it) for it in both]
    yield "before_list", [_pages(bench, it) for it in both]
    orders = int(ORDERS_A_SECOND * bench.options.seconds * (bench.options.rounds + 1))
    for it in both:  # of the orders that are there already too few are CREATED
        it.database.load(orders, ["CREATED"])
    yield "before_accept", [accepts(bench, it, orders) for it in both]
    yield "before_create", [Writes(bench, it, CREATE, "ORDER_CREATED") for it in both]


def _pages(bench: Bench, served: Served) -> Reads:
    path = f"/orders?page=1&limit={PAGE_OF}"
    require_page(served, path, "true", (), 1, PAGE_OF)
    return Reads(bench, served, Load("GET", path, 200), served.name)
