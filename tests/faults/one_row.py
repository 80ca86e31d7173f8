"""python -m tests.faults.one_row NUMBER: runs one row in a process of its own, and writes what came of it as JSON."""

import argparse
import importlib
import json
import pkgutil
import random
import sys
from pathlib import Path

from tests.faults import rows
from tests.faults.row import Row
from tests.faults.rows import ROWS, Fault
from tests.faults.trial import Trial
from tests.harness.stack import new_stack
from tests.harness.stopping import stop_in_order

FAILING_APP = "tests.faults.failing_app:app"


def load_rows() -> dict[int, Fault]:
    """Return all rows, by number."""
    for module in pkgutil.iter_modules(rows.__path__):
        importlib.import_module(f"{rows.__name__}.{module.name}")
    return dict(sorted(ROWS.items()))


def run_row(fault: Fault, seed: int, seconds: float, times: int, without: str | None = None) -> Row:
    """Run the row on servers of its own and return what came of it. What stops it is a violation too.

    `without`: a protection of the product that the test program's own entry point takes out.
    """
    row = Row(f"{fault.number} {fault.title}")
    with new_stack(make_broker=fault.broker) as stack:
        if without:
            stack.wsgi, stack.added = FAILING_APP, {"WITHOUT": without}
        trial = Trial(stack, row, seed, seconds, times)
        try:
            fault.run(trial)
        except (TimeoutError, AssertionError) as error:
            row.require(False, f"stopped: {error}")
            stack.keep = True
        row.figures = {**trial.load.figures(), **row.figures}
        row.require_struck(bool(row.struck) or fault.number == 1, "the fault did not strike")
    return row


def main() -> int:
    """Read the options, run the row, print it and write the result; exit code 0 only where it passes."""
    parser = argparse.ArgumentParser(prog="tests.faults.one_row", description=__doc__)
    parser.add_argument("number", type=int, choices=load_rows())
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--times", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--without", help="a protection to take out: see failing_app.py")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    fault = ROWS[options.number]
    seconds, times = fault.quick if options.quick else (fault.seconds, fault.times)
    stop_in_order()
    print(f"row {fault.number}, seed {options.seed}", flush=True)
    row = run_row(fault, options.seed, options.seconds or seconds, options.times or times, options.without)
    if options.result:
        options.result.write_text(json.dumps(result(fault, options.seed, row)))
    return row.finish()


def result(fault: Fault, seed: int, row: Row) -> dict[str, object]:
    """Return what the table shows of a row."""
    return {
        "number": fault.number,
        "title": fault.title,
        "seed": seed,
        "struck": row.struck,
        "operations": row.figures.get("operations", 0),
        "commands": row.figures.get("commands", 0),
        "counts": row.counts,
        "own": row.own,
        "violations": row.violations,
        "voids": row.voids,
        "verdict": row.verdict,
    }


if __name__ == "__main__":
    sys.exit(main())
