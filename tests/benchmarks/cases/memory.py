"""What a worker with all roles has in memory after it has made many orders, at both doors."""

from tests.benchmarks.bench import Bench
from tests.benchmarks.cases import case
from tests.benchmarks.cases.commands import Commands
from tests.benchmarks.check import require
from tests.benchmarks.load import run
from tests.benchmarks.measure import Sample, memory_now, peak_memory
from tests.benchmarks.rounds import ALL, CREATE
from tests.benchmarks.table import MADE, Result, figure

HTTP_SHARE = 10  # one in so many is made over HTTP
BITE = 20_000  # commands at a time: so are their replies judged


@case("memory")
def memory(bench: Bench) -> Result:
    """A tenth over HTTP, the rest by commands."""
    orders = min(MADE, bench.options.orders)
    ours = bench.ours(bench.database("memory"))
    made = 0
    while made < orders // HTTP_SHARE:
        count = run(CREATE, ours.port, bench.options.seconds).count
        ours.events.await_count(count)
        ours.events.take(count)
        made += count
    commands = Commands(bench, ours, updates=False)
    while (made := ours.database.number(ALL)) < orders:
        commands.work_off(min(BITE, orders - made))
    ours.events.require_end()
    require(made == ours.database.number("SELECT count(*) FROM order_changes WHERE version = 1"), "orders are missing")
    now = memory_now(ours)
    return Result([figure("memory", now)], {f"after {made:,} orders": Sample(memory=peak_memory(ours))})
