"""Row 50: PostgreSQL is restored to a point in time under a Kafka that lives on."""

import json
import time

from tests.faults.rows import row
from tests.faults.trial import Trial
from tests.harness.archive import Archive
from tests.harness.found import await_quiet

CHANGES = (
    "SELECT order_id, version, change_id, kind, from_status, to_status, runner_id, correlation_id FROM order_changes"
)
ORDERS = "SELECT orders::text FROM orders"
LEAST_LOST = 100
SILENT = ("create_test",)  # nothing announces what testCreateOrder makes


@row(50, "PostgreSQL restored to a point in time, what came later done again from Kafka", quick=(10.0, 1), limit=600.0)
def point_in_time(trial: Trial) -> None:
    """A base backup and an archive of the WAL are taken under load, then the disk is lost. The service is stopped,
    the server restored, `flask orders recover` run, and the service started under new load."""
    stack = trial.stack
    archive, trial.load.without = Archive(stack.postgres), SILENT
    stack.start(2)
    with trial.load.running(stack, trial.seed):
        trial.await_writes(50)
        base = archive.base_backup()
        trial.pause(trial.seconds / 4)
        at = archive.now()
        trial.pause(trial.seconds / 2)
    archive.now()  # a server that is restored to a time must find a commit after it
    await_quiet(stack, 60)
    before = set(trial.query(CHANGES)), set(trial.query(ORDERS))
    for instance in trial.instances:
        instance.stop()
    archive.restore(base, at)
    trial.strike()
    recover(trial, *before)
    for instance in trial.instances:
        instance.start()
    with trial.load.running(stack, trial.seed + 1):
        trial.await_writes(50)
        trial.pause(trial.seconds / 4)
    trial.settle()
    trial.own(f"check: {stack.operator('check').strip()}")


def recover(trial: Trial, changes: set[tuple[object, ...]], orders: set[tuple[object, ...]]) -> None:
    """Have it all done again, and require that history and orders are as they were before the restore."""
    lost = changes - set(trial.query(CHANGES))
    trial.row.require_struck(len(lost) > LEAST_LOST, "little was lost")
    begun = time.monotonic()
    done = json.loads(trial.stack.operator("recover", "--reason", "the disk is lost", "--yes", "--json"))
    took = time.monotonic() - begun
    trial.own(f"{done['changes']} changes and {done['commands']} commands done again in {took:.1f} s")
    missing = changes - set(trial.query(CHANGES))
    trial.own(f"{len(lost)} changes were lost, {len(missing)} are not there again as they were", not missing)
    differing = orders - set(trial.query(ORDERS))
    trial.own(f"{len(differing)} of {len(orders)} orders are not as they were", not differing)
