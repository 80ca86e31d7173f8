"""Pages of all orders with the exact total, at the large table: this service, the ORM's paginate with its count.

Judged by the time of a call over one connection; over all connections both sides wait for the same two cores.
"""

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.load import CONNECTIONS, Load
from tests.benchmarks.measure import interleaved
from tests.benchmarks.rounds import Reads, require_page
from tests.benchmarks.table import LIMIT, Result, middle_page, times

ALL_AT_ONCE_SECONDS = 1.0  # the peer needs seconds for what it has under way then


@case("list_first")
def list_first(bench: Bench) -> Result:
    """Page 1."""
    return _lists(bench, "list_first", 1)


@case("list_deep")
def list_deep(bench: Bench) -> Result:
    """The page in the middle."""
    return _lists(bench, "list_deep", middle_page(bench.options.orders))


def _lists(bench: Bench, target: str, page: int) -> Result:
    large = bench.large()
    ours, peer = bench.ours(large), bench.peer("usual_outbox", large)
    large.settle_loaded()
    sides = [pages(bench, served, page, connections) for connections in (1, CONNECTIONS) for served in (ours, peer)]
    found = interleaved(sides, bench.options.rounds, bench.options.seconds)
    row = times(target, found[_name(ours, 1)], found[_name(peer, 1)])
    return Result([row], {f"list page {page:,}: {name}": sample for name, sample in found.items()})


def pages(bench: Bench, served: Served, page: int, connections: int) -> Reads:
    """Return rounds of reads of one page, which is compared with what SQL finds."""
    path = f"/orders?page={page}&limit={LIMIT}"
    require_page(served, path, "true", (), page, LIMIT)
    seconds = ALL_AT_ONCE_SECONDS if connections > 1 else 60.0
    return Reads(bench, served, Load("GET", path, 200), _name(served, connections), connections, seconds)


def _name(served: Served, connections: int) -> str:
    return f"{served.name}, {connections} connection{'s' * (connections > 1)}"
