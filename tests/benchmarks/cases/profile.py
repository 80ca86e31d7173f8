"""Where the CPU time of a call goes: the same call inside more and more of what serves it, down to everything at once.

The first line is the way of plain WSGI servers, which the event loop does without. From the second on, what a line
takes more than the one above it is the price of what it adds.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app import create_app
from app.config.config import Settings
from tests.benchmarks.bench import Bench
from tests.benchmarks.cases import case
from tests.benchmarks.check import require
from tests.benchmarks.database import Database
from tests.benchmarks.load import CONNECTIONS, Load
from tests.benchmarks.measure import Meter, Sample, Side, interleaved
from tests.benchmarks.rounds import CREATE, Reads, Writes
from tests.benchmarks.table import Result
from tools.sections import markdown_table

HEAD = ["call", "inside of what", "CPU of the service, ms each", "of PostgreSQL, ms each", "a second"]
BARE = "Flask's route, one thread, no server"
ONE = "gunicorn, `ROLES=api`, 1 connection"
MANY = f"gunicorn, `ROLES=api`, {CONNECTIONS} connections"
ALL_ROLES = f"all roles, {CONNECTIONS} connections, events relayed"
HEALTH = Load("GET", "/health", 200)


@case("profile", by_name=True)
def profile(bench: Bench) -> Result:
    """`/health` asks nobody, getOrderDetails is one statement that reads, createOrder one that writes."""
    lines = []
    for call, sides in subjects(bench):
        found = interleaved(sides, bench.options.rounds, bench.options.seconds)
        for name in (BARE, ONE, MANY, ALL_ROLES):
            of_service, of_postgres = found[name].server_cpu or 0.0, found[name].postgres_cpu or 0.0
            lines.append([call, name, f"{of_service:.2f}", f"{of_postgres:.2f}", f"{found[name].rate or 0.0:,.0f}"])
    return Result(sections={"profile": markdown_table(HEAD, lines)})


def subjects(bench: Bench) -> Iterable[tuple[str, list[Side]]]:
    """Yield each call, and what it is measured inside of."""
    databases = [bench.database(f"profile_{number}", 1, "CREATED") for number in range(3)]
    bare_database, api_database, database = databases
    settings = {"DATABASE_URL": bare_database.url, "KAFKA_BOOTSTRAP_SERVERS": bench.broker.bootstrap}
    bare = create_app(Settings.load(settings))
    api, every_role = bench.ours(api_database, ROLES="api"), bench.ours(database, ALL_ROLES)
    one, many = replace(api, name=ONE), replace(api, name=MANY)
    database.settle_loaded()
    for call, loads in {"/health": [HEALTH] * 3, "getOrderDetails": [reading(it) for it in databases]}.items():
        yield (
            call,
            [
                Bare(bench, bare, loads[0]),
                Reads(bench, one, loads[1], ONE, connections=1),
                Reads(bench, many, loads[1], MANY),
                Reads(bench, every_role, loads[2], ALL_ROLES),
            ],
        )
    yield (
        "createOrder",
        [
            Bare(bench, bare, CREATE),
            Writes(bench, one, CREATE, "ORDER_CREATED", relayed=False, connections=1),
            Writes(bench, many, CREATE, "ORDER_CREATED", relayed=False),
            Writes(bench, every_role, CREATE, "ORDER_CREATED"),
        ],
    )
    every_role.events.require_end()


def reading(database: Database) -> Load:
    """Return reads of the one order that was loaded."""
    ((order_id,),) = database.rows("SELECT order_id FROM orders")
    return Load("GET", f"/getOrderDetails?orderId={order_id}", 200)


@dataclass
class Bare:
    """Rounds of one call through Flask inside this very process, one after the other; the CPU time is the thread's."""

    bench: Bench
    app: Flask
    load: Load

    def __call__(self, seconds: float) -> Mapping[str, Sample]:
        """Measure one round."""
        count, calling = 0, 0.0
        began = time.monotonic()
        with Meter(None, self.bench.postgres) as meter:
            while (took := time.monotonic() - began) < seconds:
                calling += self._call()
                count += 1
        figures = meter.for_each(count) | {"server_cpu": calling * 1000 / count}
        return {BARE: Sample(rate=count / took, **figures)}

    def _call(self) -> float:
        """Return the CPU seconds of one call. Raises Wrong where its answer has another status."""
        asked = EnvironBuilder(method=self.load.method, path=self.load.path, data=self.load.body or None)
        if self.load.body:
            asked.content_type = "application/json"
        environ = asked.get_environ()
        before = time.thread_time()
        answered, status, _ = run_wsgi_app(self.app, environ)
        b"".join(answered)
        took = time.thread_time() - before
        require(status.startswith(str(self.load.expected)), f"{self.load.path} without a server: {status}")
        return took
