"""Rows 42, 43: another server in the place of PostgreSQL; a pooler on the way to it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.rows import row
from tests.faults.rows.database import OURS, only_503
from tests.faults.trial import Trial
from tests.harness.found import query
from tests.harness.pooler import Pooler
from tests.harness.replica import Replica
from tests.harness.waiting import until
from tools.stack.postgres import Postgres

HEALED_SECONDS = 15.0
REFUSED = "database away: a pooler gives each transaction another session"


@row(42, "PostgreSQL fails over to a promoted replica; the old primary comes back")
def fails_over(trial: Trial) -> None:
    """The primary dies under load; both servers are in the address, in libpq's form for one instance and in
    SQLAlchemy's for the other. Then it starts again, takes changes, and stands first in the address."""
    stack = trial.stack
    with synchronous(trial) as replica:
        here, there = stack.postgres.port, replica.port
        stack.start(1, DATABASE_URL=replica.both(stack.database_url))
        hosts = f"/order_db?host=127.0.0.1:{here}&host=127.0.0.1:{there}&target_session_attrs=read-write"
        stack.start(1, DATABASE_URL=stack.database_url.replace(f"127.0.0.1:{here}/order_db", hosts))
        with trial.under_load():
            since = time.monotonic()
            trial.pause(trial.seconds / 3)
            stack.postgres.kill()
            trial.strike()
            trial.await_writes(10, 503)
            replica.promote()
            stack.database_url = replica.url()
            promoted = time.monotonic()
            until(lambda: all(instance.ready() for instance in trial.instances), "instances that are ready again")
            trial.await_writes(30)
            healed = time.monotonic() - promoted
            trial.own(f"healed {healed:.1f} s after the promotion", healed <= HEALED_SECONDS)
            stack.postgres.start()
            known = orders_at(stack.postgres)
            trial.strike()
            trial.query(f"SELECT pg_terminate_backend(pid) {OURS}")  # all connections are made anew
            trial.await_writes(30)
            trial.pause(trial.seconds / 3)
            strayed = orders_at(stack.postgres) - known
            trial.own(f"{strayed} orders made at the old primary that came back", strayed == 0)
        only_503(trial, since)
        trial.settle(HEALED_SECONDS)


def orders_at(server: Postgres) -> int:
    """How many orders the server has."""
    return int(query(server.url(), "SELECT count(*) FROM orders")[0][0])


@contextmanager
def synchronous(trial: Trial) -> Iterator[Replica]:
    """A replica that has whatever the primary confirms."""
    replica = Replica(trial.stack.folder / "replica", trial.stack.postgres)
    replica.start()
    try:
        replica.be_synchronous()
        yield replica
    finally:
        trial.stack.kill_instances()
        replica.kill()


@row(43, "PgBouncer in front: session mode; transaction mode beside it")
def behind_poolers(trial: Trial) -> None:
    """In session mode all is as without it. Who comes by the other way does nothing, and says why, once."""
    stack = trial.stack
    with (
        Pooler(stack.folder, stack.postgres, "session") as own,
        Pooler(stack.folder, stack.postgres, "transaction") as shared,
    ):
        try:
            stack.start(2, DATABASE_URL=own.url(stack.database_url))
            with trial.under_load():
                since = time.monotonic()
                third = stack.instance(ready_path="/livez", DATABASE_URL=shared.url(stack.database_url))
                third.start()
                until(lambda: REFUSED in third.log_text(), "the sentence")
                trial.strike()
                led = 0
                while trial.lasts():
                    led += third.ready() + len(third.parts()["relay"]["leads"])
                    trial.pause(0.5)
                told = third.log_text().count(REFUSED)
                trial.own(
                    f"in transaction mode: ready or leading {led} times, said so {told} times", (led, told) == (0, 1)
                )
                stack.instances.remove(third)
                third.terminate()
            trial.no_failures(since)
            trial.settle()
        finally:
            stack.kill_instances()
