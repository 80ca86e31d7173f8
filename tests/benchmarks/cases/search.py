"""What operators look for at the large table with its history: search by each kind of id, waits, the console's pages.

Beside no other load. Of a search that is the database's part as the operation tells it, without connecting; of waits
the whole call, in this process; of a page the whole request over HTTP.
"""

import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from statistics import quantiles

from app.config.config import Settings
from app.operations.search import search
from app.operations.waits import waits
from tests.benchmarks.bench import Bench
from tests.benchmarks.cases import case
from tests.benchmarks.check import require
from tests.benchmarks.database import CHUNK, Database
from tests.benchmarks.table import Result
from tools.sections import markdown_table

CALLS = 40
SEARCH_MS, WAITS_MS, PAGE_MS = 50, 100, 100
PAGES = (
    "",
    "/waits",
    "/commands",
    "/outbox",
    "/instances",
    "/database",
    "/flow",
    "/acts",
    "/search?q={}",
    "/orders/{}",
)
LOAD_SECONDS = 1800.0
PLACES = {"PENDING": 1, "CREATED": 2, "CANCELLED": 3, "ACCEPTED": 3, "PLACED": 4, "ON_THE_WAY": 5, "DELIVERED": 6}
STATUSES = "array['PENDING', 'CREATED', 'ACCEPTED', 'PLACED', 'ON_THE_WAY', 'DELIVERED', 'COMPLETED']"
# Half of the orders are of sagas; each change has ids as requests or as commands have them.
_HISTORY = f"""
INSERT INTO order_changes (order_id, version, change_id, kind, from_status, to_status, payment_status, door,
    correlation_id, created_at)
SELECT order_id, v, CASE WHEN saga THEN gen_random_uuid() ELSE uuidv7(at - now()) END, 'status_updated',
    CASE WHEN v > 1 THEN ({STATUSES})[v - 1] END,
    CASE WHEN v = moves AND order_status = 'CANCELLED' THEN 'CANCELLED' ELSE ({STATUSES})[v] END, 'PENDING',
    CASE WHEN saga THEN 'kafka' ELSE 'http' END,
    CASE WHEN saga THEN 'saga-' || gen_random_uuid() ELSE uuidv7(at - now())::text END, at
FROM (
    SELECT order_id, order_status, v, moves, hashtext(order_id) %% 2 = 0 AS saga,
        (created_at + v * random() * interval '10 minutes') AT TIME ZONE 'UTC' AS at
    FROM (
        SELECT order_id, order_status, created_at, coalesce((%(places)s::jsonb ->> order_status)::int, 7) AS moves
        FROM orders ORDER BY created_at OFFSET %(first)s LIMIT %(most)s
    ) AS chosen, generate_series(1, moves) AS v
) AS lives
"""
_KEYS = (
    "INSERT INTO idempotency_keys (path, key, body_hash, status, body) "
    "SELECT '/createOrder', 'key-' || n, '', 201, '{}' FROM generate_series(1, 100000) AS n"
)
IDS = {
    "order id": "SELECT order_id FROM orders TABLESAMPLE SYSTEM (0.1) LIMIT %s",
    "correlation id": "SELECT correlation_id FROM order_changes TABLESAMPLE SYSTEM (0.1) ORDER BY random() LIMIT %s",
    "event id": "SELECT change_id FROM order_changes TABLESAMPLE SYSTEM (0.1) ORDER BY random() LIMIT %s",
    "customer": "SELECT cust_id FROM orders TABLESAMPLE SYSTEM (0.1) LIMIT %s",
    "runner": "SELECT runner_id FROM orders TABLESAMPLE SYSTEM (0.1) WHERE runner_id IS NOT NULL LIMIT %s",
    "Idempotency-Key": "SELECT key FROM idempotency_keys TABLESAMPLE SYSTEM (1) LIMIT %s",
    "nobody's id": "SELECT 'nobody-' || n FROM generate_series(1, %s) AS n",
}
SIZES = (
    "SELECT relname, pg_relation_size(oid) FROM pg_class "
    "WHERE relname IN ('order_changes', 'order_changes_pkey', 'ix_order_changes_ids') ORDER BY 2 DESC"
)


@case("search", by_name=True)
def search_and_waits(bench: Bench) -> Result:
    """Each kind of id in turn, CALLS of each, then waits."""
    ours = bench.ours(bench.database("search", bench.options.orders))
    database = ours.database
    load_history(database, bench.options.orders)
    ours.database.settle_loaded(LOAD_SECONDS)
    settings = Settings.load({"DATABASE_URL": database.url})
    changes = database.number("SELECT count(*) FROM order_changes")
    lines = [
        ["search", kind, *measured(calls, SEARCH_MS)]
        for kind, ids in IDS.items()
        if (calls := list(searches(settings, kind, [str(found) for (found,) in database.rows(ids, CALLS)])))
    ]
    lines.append(["waits", "", *measured([timed(lambda: waits(settings)) for _ in range(CALLS)], WAITS_MS)])
    ((order_id,),) = database.rows(IDS["order id"], 1)
    for page in PAGES:
        address = f"http://127.0.0.1:{ours.port}/console{page.format(order_id)}"
        lines.append(
            ["page", f"/console{page}", *measured([timed(partial(look, address)) for _ in range(CALLS)], PAGE_MS)]
        )
    head = ["what", "by", "p50, ms", "p95, ms", "at most, ms", "verdict"]
    sizes = [[name, f"{size / 2**20:,.0f}", f"{size / changes:.1f}"] for name, size in database.rows(SIZES)]
    return Result(
        sections={
            "search": [
                f"{bench.options.orders:,} orders, {changes:,} changes.",
                "",
                *markdown_table(head, lines),
                "",
                *markdown_table(["what", "MiB", "bytes a change"], sizes),
            ]
        }
    )


def load_history(database: Database, orders: int) -> None:
    """Write the history of the loaded orders: a line for each status that it has passed."""
    if not database.rows("SELECT FROM pg_proc WHERE proname = 'uuidv7'"):
        raise ValueError("load orders first")
    places = str(PLACES).replace("'", '"')
    for first in range(0, orders, CHUNK):
        database.fill(_HISTORY, {"places": places, "first": first, "most": CHUNK})
    database.rows(_KEYS)


def searches(settings: Settings, kind: str, ids: list[str]) -> Iterator[float]:
    """Yield the milliseconds of the database for each search; Kafka must not be asked."""
    for some_id in ids:
        found = search(settings, some_id)
        something = found.orders or found.keys
        require(bool(something) == (kind != "nobody's id"), f"search of {kind} {some_id}: {found}")
        require(found.log_seconds is None, "Kafka was asked")
        yield found.seconds * 1000


def look(address: str) -> None:
    """Ask for a page as a browser does. Raises Wrong unless it is there and whole."""
    asked = urllib.request.Request(address, headers={"Accept": "text/html"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        page = answer.read()
        require(answer.status == 200 and page.rstrip().endswith(b"</html>"), f"{address} was answered {answer.status}")


def timed(call: Callable[[], object]) -> float:
    """Return the milliseconds that the call took."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def measured(calls: list[float], most: float) -> list[str]:
    """Return p50, p95, the limit and whether p95 keeps it."""
    percentiles = quantiles(calls, n=20)
    p50, p95 = percentiles[9], percentiles[18]
    return [f"{p50:.1f}", f"{p95:.1f}", f"{most}", "reached" if p95 <= most else "missed"]
