"""createOrder: this service, the usual way, the same with an outbox, and pgbench as the limit; one process each.

pgbench leaves its events in the outbox, and is compared with this service doing so: `ROLES=api`, the relay elsewhere.
"""

from tests.benchmarks.bench import Bench
from tests.benchmarks.cases import case
from tests.benchmarks.measure import Side, interleaved
from tests.benchmarks.pgbench import Pgbench
from tests.benchmarks.rounds import CREATE, ON_THE_TOPIC, Writes
from tests.benchmarks.table import Result, rates

PEERS = ("usual_way", "usual_outbox")
API = "this service, ROLES=api"
LIMITS = ("two_statements", "one_statement")


@case("create")
def create(bench: Bench) -> Result:
    """Each round: all of them, one after the other."""
    ours = Writes(bench, bench.ours(bench.database("create_ours")), CREATE, "ORDER_CREATED")
    api = bench.ours(bench.database("create_api"), API, ROLES="api")
    sides: list[Side] = [ours, Writes(bench, api, CREATE, "ORDER_CREATED", relayed=False)]
    for kind in PEERS:
        served = bench.peer(kind, bench.database(f"create_{kind}", counted=False))
        sides.append(Writes(bench, served, CREATE, "ORDER_CREATED"))
    for script in LIMITS:
        sides.append(Pgbench(bench, script, bench.database(f"create_{script}", counted=False)))
    found = interleaved(sides, bench.options.rounds, bench.options.seconds)
    ours.served.events.require_end()
    answered, announced = found[API], found[f"this service, {ON_THE_TOPIC}"]
    rows = [
        rates("create_event", announced, found[f"usual_way, {ON_THE_TOPIC}"]),
        rates("create_outbox", announced, found[f"usual_outbox, {ON_THE_TOPIC}"]),
        rates("create_pgbench", answered, found["pgbench two_statements"]),
    ]
    return Result(rows, {f"createOrder: {name}": sample for name, sample in found.items()})
