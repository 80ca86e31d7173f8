"""pgbench as the limit of what any service can do on this PostgreSQL: the statements alone, prepared."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from tests.benchmarks.bench import Bench
from tests.benchmarks.check import require
from tests.benchmarks.database import Database
from tests.benchmarks.load import CONNECTIONS
from tests.benchmarks.measure import Meter, Sample
from tests.benchmarks.peers.orders import change_event, order_of
from tests.benchmarks.rounds import ALL, DETAILS

SCRIPTS = Path(__file__).parent / "peers"
THREADS = 2
OPTIONS = ("-M", "prepared", "-n", "-c", str(CONNECTIONS), "-j", str(THREADS))
_DONE = re.compile(r"number of transactions actually processed: (\d+)")
_FAILED = re.compile(r"number of failed transactions: (\d+)")
_RATE = re.compile(r"tps = ([0-9.]+)")


@dataclass
class Pgbench:
    """Rounds of one script of peers/ on a database of its own."""

    bench: Bench
    script: str
    database: Database

    def __call__(self, seconds: float) -> dict[str, Sample]:
        """Measure one round. Raises Wrong where a transaction failed or has no row."""
        before = self.database.number(ALL)
        with Meter(None, self.bench.postgres) as meter:
            said = self._run(max(round(seconds), 1))
        done, failed = int(_DONE.findall(said)[0]), int(_FAILED.findall(said)[0])
        rows, events = self.database.number(ALL) - before, self.database.number("SELECT count(*) FROM outbox")
        require(failed == 0 and done == rows == events, f"pgbench {self.script}: {done}, {rows} rows, {events} events")
        self.database.rows("TRUNCATE outbox")
        rate = float(_RATE.findall(said)[0])
        return {f"pgbench {self.script}": Sample(rate=rate, **meter.for_each(done))}

    def _run(self, seconds: int) -> str:
        values = [part for name, text in variables().items() for part in ("-D", f"{name}={text}")]
        script = ["-f", str(SCRIPTS / f"{self.script}.sql"), "-T", str(seconds)]
        command = self.bench.postgres.installation.command("pgbench", *OPTIONS, *values, *script, self.database.url)
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ).stdout


def variables() -> dict[str, str]:
    """Return the values that the scripts write: those of the order that the services are asked for."""
    row = order_of({"customer_id": "customer-1", "order_details": DETAILS})
    event = change_event(SimpleNamespace(**row), "ORDER_CREATED", "created", "00000000-0000-4000-8000-000000000000")
    names = ("cust_id", "order_description", "food_fee", "delivery_fee", "store_location", "delivery_location")
    given = {name: str(row[name]) for name in names}
    return given | {"correlation_id": event.correlation_id, "payload": event.payload.decode()}
