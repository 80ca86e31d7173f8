"""Rows 30 and 31: many start at once, two versions start together, the clock jumps."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.found import query
from tests.faults.load import ORDER_DETAILS, Connection
from tests.faults.rows import row
from tests.faults.service import CHECKOUT, Instance
from tests.faults.trial import Trial, until

WORKERS = 16
HOUR = 3600
PARTS = ("app", "migrations", "run.py", "gunicorn.conf.py", "pyproject.toml")


@row(30, "16 workers start on an empty database; an old and a new version start together")
def starts(trial: Trial) -> None:
    """One of them migrates; nobody fails."""
    [many] = trial.stack.start(1, WEB_CONCURRENCY=str(WORKERS))
    until(lambda: many.log_text().count("starting Settings(") == WORKERS, "all workers")
    require_served(trial, [many], 2 * WORKERS)
    trial.strike(WORKERS)
    many.stop()
    old_checkout = without_newest_migration(trial.stack.folder / "old")
    for number, old_first in enumerate((True, False)):
        url = trial.stack.postgres.create_database(f"together_{number}")
        old, new = (trial.stack.instance(DATABASE_URL=url) for _ in range(2))
        old.checkout = old_checkout
        with ThreadPoolExecutor(2) as starters:
            list(starters.map(Instance.start, (old, new) if old_first else (new, old)))
        trial.strike(2)
        require_served(trial, [old, new], 8)
        [(revision,)] = query(url, "SELECT version_num FROM order_service_schema")
        trial.own(f"old and new together: schema at {revision}", revision == newest_migration().name[:4])
        old.stop()
        new.stop()


def newest_migration() -> Path:
    """Return the file of the newest migration."""
    return max((CHECKOUT / "migrations" / "versions").glob("[0-9]*.py"))


def without_newest_migration(folder: Path) -> Path:
    """Return a copy of the service that does not know the newest migration, which only adds a table."""
    folder.mkdir()
    for part in PARTS:
        source = CHECKOUT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    (folder / "migrations" / "versions" / newest_migration().name).unlink()
    return folder


def require_served(trial: Trial, instances: list[Instance], orders: int) -> None:
    """Require that each instance takes orders, and that none has logged a failure."""
    for instance in instances:
        answers = []
        for _ in range(orders):
            with Connection([instance.port]) as connection:
                answers.append(
                    connection.call("POST", "/createOrder", {"customer_id": "c", "order_details": ORDER_DETAILS})
                )
        statuses = {answer and answer[0] for answer in answers}
        trial.row.require(statuses == {201}, f"{instance.folder.name} answered {statuses}")
        log = instance.log_text()
        trial.row.require("Traceback" not in log and "failed" not in log, f"{instance.folder.name} logged a failure")
    trial.own(f"{len(instances)} processes answered {orders} creates each")


@row(31, "the clock jumps an hour both ways")
def clock(trial: Trial) -> None:
    """The service's clock is read through a file; order, versions and leases have clocks of their own."""
    offset = trial.stack.folder / "clock"
    offset.write_text("0")
    for _ in range(2):
        trial.stack.instance(wsgi="tests.faults.failing_app:app", CLOCK_OFFSET=str(offset)).start()
    with trial.under_load():
        while trial.lasts():
            for seconds in (HOUR, 0, -HOUR, 0):
                offset.write_text(str(seconds))
                trial.strike()
                trial.pause(0.5, 2.0)
    [(earliest, latest)] = trial.query("SELECT min(created_at)::text, max(created_at)::text FROM orders")
    apart = "SELECT extract(epoch FROM max(created_at) - min(created_at)) FROM orders"
    [(seconds_apart,)] = trial.query(apart)
    trial.own(f"orders of {str(earliest)[11:19]} to {str(latest)[11:19]}")
    trial.row.require_struck(float(str(seconds_apart)) > HOUR, "no order has a time that jumped")
    trial.settle()
