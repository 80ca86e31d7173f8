"""Page 1 under a filter at the large table: statuses, runners and customers as often as they occur."""

from collections.abc import Iterator

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.load import Load
from tests.benchmarks.measure import interleaved
from tests.benchmarks.rounds import Reads, require_page
from tests.benchmarks.table import LIMIT, Result, figure

VALUES = 2000
COMPARED = 5
PATHS = {
    "order_status": f"/orders?status=@&limit={LIMIT}",
    "runner_id": f"/orders?runnerId=@&limit={LIMIT}",
    "cust_id": f"/orders/customer/@?limit={LIMIT}",
}
# Values of random orders: who has many orders is asked for often, as in the load that the table stands for.
RANDOM_VALUES = "SELECT {0} FROM orders WHERE {0} IS NOT NULL ORDER BY random() LIMIT %s"
MOST_ORDERS = "SELECT {0} FROM orders WHERE {0} IS NOT NULL GROUP BY {0} ORDER BY count(*) DESC LIMIT 1"


@case("filters")
def filters(bench: Bench) -> Result:
    """One call at a time; the slowest of the three filters is judged."""
    ours = bench.ours(bench.large())
    ours.database.settle_loaded()
    sides = list(filtered(bench, ours))
    found = interleaved(sides, bench.options.rounds, bench.options.seconds / len(sides))
    slowest = max(sample.p50 or 0.0 for sample in found.values())
    return Result([figure("filters", slowest)], {f"filter {name}": sample for name, sample in found.items()})


def filtered(bench: Bench, served: Served) -> Iterator[Reads]:
    """Yield rounds of reads for each filter; some pages, the one of the largest group too, are compared with SQL's."""
    for column, path in PATHS.items():
        file = bench.folder / f"{served.events.topic}.{column}"
        values = served.database.write_values(file, RANDOM_VALUES.format(column), VALUES)
        ((most,),) = served.database.rows(MOST_ORDERS.format(column))
        for value in {most, *values.read_text().splitlines()[:COMPARED]}:
            require_page(served, path.replace("@", value), f"{column} = %s", (value,), 1, LIMIT)
        load = Load("GET", path, 200, values=values, again=True)
        yield Reads(bench, served, load, column, connections=1)
