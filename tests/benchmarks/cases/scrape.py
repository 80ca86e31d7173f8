"""What a scrape of `/metrics` costs PostgreSQL and the service, and what the watch's looks cost, while a million events
wait. PostgreSQL's own times, from its log."""

import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from statistics import mean, median

import psycopg2

from app.database.lanes import EVENTS
from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.cases import case
from tests.benchmarks.check import require
from tests.benchmarks.database import CHUNK, Database
from tests.benchmarks.measure import Meter
from tests.benchmarks.table import Result
from tests.harness.waiting import until
from tools.sections import markdown_table

WAITING = 1_000_000
SCRAPES = 100
WORKERS = (1, 3)
LOOKS = 5
LOOK_SECONDS = 60.0
MOST_MS = 5.0
SCRAPE = {"seen_by_watch"}
LANE = ("last_id_of_{}", "writers_of_{}", "oldest_of_{}", "aside_of_{}", "few_of_{}", "newest_of_{}")
LOOK = {name.format(table) for name in LANE for table in ("outbox", "dead_letters")} | {
    *("hold_watch", "stored_offsets", "last_check", "horizon", "lives_of_instances", "tell_watch")
}
_FILL = """
INSERT INTO outbox (event_id, aggregatetype, aggregateid, type, correlation_id, version, payload)
SELECT gen_random_uuid(), 'order', 'order-' || n, 'ORDER_CREATED', 'c-' || n, 1, convert_to(repeat('x', 600), 'UTF8')
FROM generate_series(%(first)s, %(last)s) AS n
"""
_EXECUTED = re.compile(r"duration: ([\d.]+) ms  statement: EXECUTE (\w+)")


@case("scrape", by_name=True)
def scrape(bench: Bench) -> Result:
    """By one worker and by several, beside no other load; nobody relays."""
    database = bench.database("scrape")
    for first in range(1, WAITING + 1, CHUNK):
        database.fill(_FILL, {"first": first, "last": first + CHUNK - 1})
    database.rows("ALTER DATABASE scrape SET log_min_duration_statement = 0")
    with nobody_relays(database):
        lines = [line for workers in WORKERS for line in measured(bench, database, workers)]
    head = ["workers", "what", "PostgreSQL, median ms", "at most, ms", "the service, CPU ms", "bytes", "verdict"]
    return Result(sections={"scrape": [f"{WAITING:,} events wait.", "", *markdown_table(head, lines)]})


def measured(bench: Bench, database: Database, workers: int) -> Iterator[list[str]]:
    """Yield a line for scrapes and one for looks."""
    ours = bench.ours(database, WEB_CONCURRENCY=str(workers))
    until(lambda: b"order_outbox_depth 1e+06" in read(ours), "the look of the watch", LOOK_SECONDS)
    with bench.postgres.log.open(errors="replace") as log:
        log.seek(0, 2)
        rest = cpu_of(bench, ours, lambda: time.sleep(bench.options.seconds)) / bench.options.seconds
        began, sizes = time.monotonic(), list[int]()
        cpu = cpu_of(bench, ours, lambda: sizes.extend(len(read(ours)) for _ in range(SCRAPES)))
        cpu -= rest * (time.monotonic() - began)
        executed: dict[str, list[float]] = {}

        def enough() -> bool:
            for took, name in _EXECUTED.findall(log.read()):
                executed.setdefault(name, []).append(float(took))
            return len(executed.get("tell_watch", ())) >= LOOKS

        until(enough, "looks of the watch", LOOK_SECONDS)
    ours.server.kill()
    require(len(executed["seen_by_watch"]) >= SCRAPES, "a scrape did not ask the database")
    yield line(workers, f"{SCRAPES} scrapes", executed, SCRAPE, f"{cpu / SCRAPES:.1f}", f"{mean(sizes):,.0f}")
    yield line(workers, f"{LOOKS} looks of the watch", executed, LOOK, "-", "-")


def line(workers: int, what: str, executed: Mapping[str, list[float]], names: set[str], *others: str) -> list[str]:
    """Return what all the statements of one scrape, or one look, took together: the sum of their medians, and of the
    most that each took; a statement that waits for a CPU takes longer."""
    usual, most = (sum(of(executed[name]) for name in names & executed.keys()) for of in (median, max))
    return [str(workers), what, f"{usual:.2f}", f"{most:.2f}", *others, "reached" if usual <= MOST_MS else "missed"]


def cpu_of(bench: Bench, ours: Served, work: Callable[[], object]) -> float:
    """Return the milliseconds of CPU that the service took during the work."""
    with Meter(ours, bench.postgres) as meter:
        work()
    return meter.for_each(1)["server_cpu"] or 0.0


def read(ours: Served) -> bytes:
    """Scrape once, over a connection of its own."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ours.port}/metrics", timeout=10) as answer:
        found: bytes = answer.read()
        return found


@contextmanager
def nobody_relays(database: Database) -> Iterator[None]:
    """Hold the lease of the lane of events."""
    with closing(psycopg2.connect(database.url)) as other:
        other.cursor().execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (EVENTS.lock,))
        yield
