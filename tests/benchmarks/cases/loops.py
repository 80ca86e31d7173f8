"""Services with an event loop beside this one, with as many processes each: FastAPI and Litestar, and Fastify on Node.

None of them relays: this service is compared with them with `ROLES=api`. With all roles it is shown beside them, so
that what its relay takes of the same cores can be seen.
"""

from collections.abc import Sequence

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.cases.get import gets
from tests.benchmarks.database import Database
from tests.benchmarks.environment import LeftOut
from tests.benchmarks.measure import Side, interleaved
from tests.benchmarks.rounds import CREATE, Writes
from tests.benchmarks.servers import FASTIFY, WORKERS
from tests.benchmarks.table import MADE, Result, rates

OURS = f"this service, ROLES=api, {WORKERS} workers"
WITH_RELAY = f"this service, all roles, {WORKERS} workers"
CREATES = {
    "create_fastapi": "fastapi_two_statements",
    "create_litestar": "litestar_asyncpg",
    "create_fastify": FASTIFY,
    "": "fastapi_one_statement",
}
GETS = {"get_fastapi": "fastapi_one_statement", "get_fastify": FASTIFY, "": "litestar_asyncpg"}
"""The peers of each target; one of no target stands in the table of figures alone."""


@case("create_loops")
def create_loops(bench: Bench) -> Result:
    """createOrder; each on a database of its own."""
    ours = _ours(bench, bench.database("loops_api"), OURS, "api")
    every_role = _ours(bench, bench.database("loops_all"), WITH_RELAY, "all")
    peers, result = [], Result()
    for target, kind in CREATES.items():
        database = bench.database(f"loops_{kind}", counted=False)
        peers += _peer(bench, kind, database, target, result)
    sides: list[Side] = [Writes(bench, it, CREATE, "ORDER_CREATED", relayed=False) for it in (ours, *peers)]
    sides.append(Writes(bench, every_role, CREATE, "ORDER_CREATED"))
    _measure(bench, "createOrder, loops", sides, CREATES, result)
    every_role.events.require_end()
    return result


@case("get_loops")
def get_loops(bench: Bench) -> Result:
    """getOrderDetails; all read the same table."""
    orders = bench.database("loops_get", min(MADE, bench.options.orders))
    relaying = bench.ours(orders, "the one that folds the counts", ROLES="worker")
    orders.settle_loaded()
    relaying.server.kill()
    members, result = [_ours(bench, orders, OURS, "api")], Result()
    for target, kind in GETS.items():
        members += _peer(bench, kind, orders, target, result)
    _measure(bench, "getOrderDetails, loops", [gets(bench, it) for it in members], GETS, result)
    return result


def _ours(bench: Bench, database: Database, name: str, roles: str) -> Served:
    return bench.ours(database, name, ROLES=roles, WEB_CONCURRENCY=str(WORKERS))


def _peer(bench: Bench, kind: str, database: Database, target: str, result: Result) -> list[Served]:
    """Return the peer at work; where it cannot take part, nothing, and the result says so."""
    try:
        return [bench.peer(kind, database)]
    except LeftOut as reason:
        result.left_out[target] = str(reason)
        return []


def _measure(bench: Bench, what: str, sides: Sequence[Side], peers: dict[str, str], result: Result) -> None:
    found = interleaved(sides, bench.options.rounds, bench.options.seconds)
    for target, kind in peers.items():
        if target and kind in found:
            result.rows.append(rates(target, found[OURS], found[kind]))
    result.samples.update({f"{what}: {name}": sample for name, sample in found.items()})
