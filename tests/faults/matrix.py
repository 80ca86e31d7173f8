"""python -m tests.faults.matrix: the fault matrix, row by row, and the table of what came of it."""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.faults.one_row import load_rows
from tests.faults.row import PROMISES
from tests.faults.rows import Fault
from tests.harness.service import CHECKOUT
from tests.harness.stopping import stop, stop_in_order
from tools.sections import markdown_table, when_and_where, write_section

QUICK = (2, 4, 8, 17, 28, 29)
DOCUMENT = CHECKOUT / "docs" / "reliability.md"
EXPLAINED = 5

Result = Mapping[str, Any]


def run_in_process(fault: Fault, arguments: Sequence[str], limit: float) -> Result:
    """Run a row in a process of its own and return its result. Past the limit it has failed."""
    with TemporaryDirectory(prefix="row-") as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, "-m", "tests.faults.one_row", str(fault.number), *arguments, "--result", str(path)]
        started = time.monotonic()
        reason = "ended without a result" if _ended(command, limit) else f"not over after {limit:.0f} s"
        if not path.exists():
            print(f"row {fault.number}: {reason}", flush=True)
        found = json.loads(path.read_text()) if path.exists() else _broken(fault, reason)
        return {**found, "took": time.monotonic() - started}


def _ended(command: Sequence[str], limit: float) -> bool:
    """Run the command, and say whether it ended within the limit. Else it is stopped, and its servers with it."""
    with subprocess.Popen(command, cwd=CHECKOUT) as process:
        try:
            process.wait(limit)
            return True
        except subprocess.TimeoutExpired:
            return False
        finally:
            stop(process)


def _broken(fault: Fault, reason: str) -> dict[str, Any]:
    nothing = {"struck": 0, "operations": 0, "commands": 0, "counts": {}, "own": [], "voids": []}
    return {**nothing, "number": fault.number, "title": fault.title, "violations": [reason], "verdict": "FAIL"}


def table(results: Iterable[Result]) -> list[str]:
    """Return the lines of the table in Markdown."""
    head = ["row", "fault", "struck", "operations", "commands", *PROMISES, "own figure", "verdict"]
    rows = []
    for it in results:
        counts = [str(it["counts"].get(mark, "-")) for mark in PROMISES]
        own = "; ".join(it["own"]) or "-"
        numbers = [f"{it[name]:,}" for name in ("struck", "operations", "commands")]
        rows.append([str(it["number"]), it["title"], *numbers, *counts, own, it["verdict"]])
    return markdown_table(head, rows)


def summary(results: Sequence[Result], seed: int) -> list[str]:
    """Return what the run was: when, where, with which seed, and its totals."""
    verdicts = [it["verdict"] for it in results]
    violations = sum(sum(it["counts"].values()) for it in results)
    return [
        f"{when_and_where()}, seed {seed}. "
        f"{len(results)} rows in {sum(it['took'] for it in results) / 60:.0f} minutes: "
        f"{verdicts.count('pass')} pass, {verdicts.count('FAIL')} fail, {verdicts.count('void')} void; "
        f"{sum(it['operations'] for it in results):,} operations, {sum(it['commands'] for it in results):,} of them "
        f"commands, {violations} violations of I1-I10.",
        "",
    ]


def main() -> int:
    """Run the rows that are asked for; exit code 0 only where all pass (a full run may have a void row 23)."""
    stop_in_order()
    options = _options()
    rows = load_rows()
    chosen = options.row or (QUICK if options.quick else tuple(rows))
    results = []
    for number in chosen:
        arguments = ["--seed", str(options.seed)]
        arguments += ["--seconds", str(options.seconds)] if options.seconds else []
        arguments += ["--times", str(options.times)] if options.times else []
        arguments += ["--quick"] if options.quick else []
        limit = rows[number].limit + (options.seconds or 0)
        results.append(run_in_process(rows[number], arguments, limit))
    lines = [*summary(results, options.seed), *table(results)]
    print("\n" + "\n".join(lines))
    for it in results:
        for sentence in (*it["voids"], *it["violations"][:EXPLAINED]):
            print(f"row {it['number']}: {sentence}")
    if options.write:
        write_section(DOCUMENT, "table", lines)
    return 0 if all(it["verdict"] == "pass" or _may_be_void(it) for it in results) else 1


def _may_be_void(result: Result) -> bool:
    return bool(result["number"] == 23 and result["verdict"] == "void")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.faults.matrix", description=__doc__)
    parser.add_argument("--row", type=lambda text: tuple(map(int, text.split(","))), help="such as 2,17")
    parser.add_argument("--seconds", type=float, help="how long the faults of each row last")
    parser.add_argument("--times", type=int, help="how often the faults strike that are counted")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="default: a random one, printed")
    parser.add_argument("--quick", action="store_true", help=f"rows {QUICK} in their short form")
    parser.add_argument("--write", action="store_true", help="write the table to docs/reliability.md")
    options = parser.parse_args()
    unknown = set(options.row or ()) - load_rows().keys()
    if unknown:
        parser.error(f"no such row: {', '.join(map(str, sorted(unknown)))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
