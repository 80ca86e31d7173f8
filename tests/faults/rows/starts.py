"""Rows 30 and 31: many start at once, two versions start together, the clock jumps."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import CoordinatorNotAvailableError

from tests.faults.rows import row
from tests.faults.rows.processes import leads
from tests.faults.trial import Trial
from tests.harness.service import CHECKOUT, Instance
from tests.harness.waiting import until

WORKERS = 16
LONG_SESSION_MS = "10000"
HOUR = 3600
PARTS = ("app", "migrations", "run.py", "gunicorn.conf.py", "pyproject.toml")
LEAST_WRITES = 50
NEXT = """
from alembic import op

revision, down_revision, branch_labels, depends_on = "{number}", "{last}", None, None


def upgrade():
    op.execute("ALTER TABLE orders ADD COLUMN next_version integer NOT NULL DEFAULT 0")
"""


@row(30, "16 workers start on an empty database; an old and a new version start together", quick=(6.0, 1))
def starts(trial: Trial) -> None:
    """One of them migrates; nobody fails, and all work: a third of the time under load each."""
    stack, newer = trial.stack, with_one_more_migration(trial.stack.folder / "newer")
    [many] = stack.start(1, WEB_CONCURRENCY=str(WORKERS), KAFKA_SESSION_TIMEOUT_MS=LONG_SESSION_MS)
    until(lambda: members(trial) == WORKERS, f"{WORKERS} members of the group")
    trial.strike(WORKERS)
    done = [serve(trial, f"{WORKERS} workers", newest_revision(CHECKOUT))]
    many.stop()
    done += [together(trial, newer, old_first) for old_first in (True, False)]
    stack.instances.clear()  # ended: their folders are all that is left of them
    trial.row.figures |= {name: sum(it[name] for it in done) for name in ("operations", "commands")}


def together(trial: Trial, newer: Path, old_first: bool) -> dict[str, int]:
    """Start both versions on an empty database of their own, one right after the other; return what `serve` does."""
    name = "old_first" if old_first else "new_first"
    url = trial.stack.postgres.create_database(name)
    stack = replace(trial.stack, name=f"{trial.stack.name}-{name}", database_url=url, instances=[])
    stack.create_topics()
    old, new = stack.instance(), stack.instance()
    new.checkout = newer
    try:
        with ThreadPoolExecutor(2) as starters:
            list(starters.map(Instance.start, (old, new) if old_first else (new, old)))
        trial.strike(2)
        both = Trial(stack, trial.row, trial.seed, trial.seconds, trial.times)
        return serve(both, name.replace("_", " "), newest_revision(newer))
    finally:
        trial.stack.keep |= stack.keep
        stack.kill_instances()


def serve(trial: Trial, who: str, expected: str) -> dict[str, int]:
    """Put the instances under load and judge it; each must take part, and none may have logged a failure.

    `expected`: the revision that the schema must have come to. Returns the number of operations and of commands.
    """
    with trial.load.running(trial.stack, trial.seed):
        trial.pause(trial.seconds / 3)
        trial.await_writes(LEAST_WRITES)
    trial.no_failures(0.0)
    trial.settle()
    for instance in trial.instances:
        # Metrics are those of one worker: where an instance has many, it is alone and all answers are its own.
        idle = len(trial.instances) > 1 and instance.metric("order_http_requests_total") == 0
        log = instance.log_text()
        trial.row.require(not idle, f"{who}: {instance.folder.name} has answered nothing")
        trial.row.require("Traceback" not in log and "failed" not in log, f"{who}: {instance.folder.name} failed")
    [(revision,)] = trial.query("SELECT version_num FROM order_service_schema")
    trial.own(f"{who}: schema at {revision}", revision == expected)
    figures = trial.load.figures()
    return {name: int(str(figures[name])) for name in ("operations", "commands")}


def members(trial: Trial) -> int:
    """Return how many members the group of consumers has; none before the first has made the group."""
    with KafkaAdminClient(bootstrap_servers=trial.stack.broker.bootstrap) as admin:
        try:
            groups = admin.describe_groups([trial.stack.name])
        except CoordinatorNotAvailableError:
            return 0
    return len(groups[trial.stack.name]["members"])


def newest_revision(checkout: Path) -> str:
    """Return the number of the newest migration of a checkout."""
    return max(file.name for file in (checkout / "migrations" / "versions").glob("[0-9]*.py"))[:4]


def with_one_more_migration(folder: Path) -> Path:
    """Return a copy of the service as its next version will be: the table of orders has one column more."""
    folder.mkdir()
    for part in PARTS:
        source = CHECKOUT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    last = newest_revision(CHECKOUT)
    number = f"{int(last) + 1:04}"
    (folder / "migrations" / "versions" / f"{number}_next.py").write_text(NEXT.format(number=number, last=last))
    return folder


@row(31, "the clock jumps an hour both ways")
def clock(trial: Trial) -> None:
    """The service's clock is read through a file; order, versions and leases have clocks of their own."""
    offset = trial.stack.folder / "clock"
    offset.write_text("0")
    for _ in range(2):
        trial.stack.instance(wsgi="tests.faults.failing_app:app", CLOCK_OFFSET=str(offset)).start()
    with trial.under_load():
        since = trial.load.history.operations[-1].completed
        leader = until(lambda: [it for it in trial.instances if leads(it)], "a leader")
        before = logged(trial)
        while trial.lasts():
            for seconds in (HOUR, 0, -HOUR, 0):
                set_clock(offset, seconds)
                trial.strike()
                trial.pause(0.5, 2.0)
    trial.no_failures(since)
    trial.settle()
    trial.own("the leader kept the lead", leader == [it for it in trial.instances if leads(it)])
    after = logged(trial)
    trial.own(f"{after - before} changes of lead, rebuilt consumers or restarted threads", after == before)
    jumped(trial)


def set_clock(offset: Path, seconds: int) -> None:
    """Make every clock of the service jump; a reader finds the old number or the new one."""
    fresh = offset.with_suffix(".new")
    fresh.write_text(str(seconds))
    fresh.replace(offset)


def logged(trial: Trial) -> int:
    """Return how many lines tell of a lead that moved or of a thread that started again."""
    logs = [instance.log_text() for instance in trial.instances]
    return sum(log.count(words) for log in logs for words in ("leads\n", "starts again", "Traceback"))


def jumped(trial: Trial) -> None:
    """Require orders whose time is half an hour and more in the future, and as far in the past."""
    statement = "SELECT count(*) FROM orders WHERE {} > interval '30 minutes'"
    real = "(now() AT TIME ZONE 'UTC')"
    [(ahead,)] = trial.query(statement.format(f"created_at - {real}"))
    [(behind,)] = trial.query(statement.format(f"{real} - created_at"))
    trial.own(f"{ahead} orders with a time ahead, {behind} behind")
    trial.row.require_struck(bool(ahead) and bool(behind), "no order has a time that jumped both ways")
