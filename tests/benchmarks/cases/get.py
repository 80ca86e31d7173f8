"""getOrderDetails of random orders of the large table: this service, the ORM."""

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.load import Load
from tests.benchmarks.measure import interleaved
from tests.benchmarks.rounds import COMPARED, Reads, require_order
from tests.benchmarks.table import Result, rates

IDS = 20_000
RANDOM_IDS = "SELECT order_id FROM orders ORDER BY random() LIMIT %s"


@case("get")
def get(bench: Bench) -> Result:
    """Both read the same table."""
    large = bench.large()
    both = bench.ours(large), bench.peer("usual_outbox", large)
    large.settle_loaded()
    sides = [gets(bench, served) for served in both]
    found = interleaved(sides, bench.options.rounds, bench.options.seconds)
    row = rates("get", found["this service"], found["usual_outbox"])
    return Result([row], {f"getOrderDetails: {name}": sample for name, sample in found.items()})


def gets(bench: Bench, served: Served, credential: str = "", **options: int) -> Reads:
    """Return rounds of reads of the database's orders; some are compared with their rows."""
    path = bench.folder / f"{served.events.topic}.ids"
    ids = served.database.write_values(path, RANDOM_IDS, IDS)
    for order_id in ids.read_text().splitlines()[:COMPARED]:
        require_order(served, order_id, credential)
    load = Load("GET", "/getOrderDetails?orderId=@", 200, values=ids, again=True, credential=credential)
    return Reads(bench, served, load, served.name, **options)
