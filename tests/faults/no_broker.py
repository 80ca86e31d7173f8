"""python -m tests.faults.no_broker: HTTP works without Kafka; when the broker comes the backlog drains, in order."""

import argparse
import time

from tests.faults.row import Load, Row, require_rate, run
from tests.harness.found import await_quiet
from tests.harness.history import INFO
from tests.harness.load import GIVEN_UP
from tests.harness.stack import new_stack

DRAINED_SECONDS = 15.0


def program(options: argparse.Namespace) -> Row:
    """Start without a broker, load HTTP, let the broker come, then check every promise."""
    row, load = Row("no broker"), Load()
    with new_stack(with_broker=False) as stack:
        stack.start(2)
        with load.running(stack, options.seed, wishes=130, commands=0):
            time.sleep(options.seconds)
        failed = load.history.where(lambda it: it.outcome == INFO and it.value["lost"] != GIVEN_UP)
        row.figures["requests that failed"] = len(failed)
        row.require(not failed, f"failed: {[(it.f, it.value) for it in failed[:3]]}")
        row.figures["backlog when the broker comes"] = int(stack.instances[0].metric("order_outbox_depth"))
        stack.broker.start()
        row.figures["drained after, s"] = await_quiet(stack, DRAINED_SECONDS)
        load.judge(stack, row)
        require_rate(row, load, writes=100, commands=0)
    return row


if __name__ == "__main__":
    run(program, seconds=30)
