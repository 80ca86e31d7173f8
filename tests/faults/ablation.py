"""python -m tests.faults.ablation: without a protection its row must turn red, or the row proves nothing about it."""

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.faults.matrix import DOCUMENT, run_in_process, summary
from tests.faults.one_row import load_rows
from tests.harness.stopping import stop_in_order
from tools.sections import write_section

# Protection: the row that must turn red without it, and how long or often its faults then strike.
ROWS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "read_back": (4, ("--quick",)),
    "read_back_to_the_end": (36, ("--seconds", "60")),
    "compare_and_swap": (13, ("--seconds", "40")),
    "identities": (28, ("--quick",)),
    "one_leader": (7, ("--seconds", "8")),
}
EFFECTS = ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8")


def red(result: Mapping[str, Any]) -> dict[str, int]:
    """Return the promises about effects that were broken, with how often."""
    return {mark: result["counts"][mark] for mark in EFFECTS if result["counts"].get(mark)}


def table(results: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return the lines of the table in Markdown."""
    lines = ["| without | row | struck | violations | verdict |", "| --- | --- | --- | --- | --- |"]
    for name, it in results:
        broken = ", ".join(f"{count} x {mark}" for mark, count in red(it).items()) or "none"
        verdict = "red, as it must be" if red(it) else "NOT FOUND"
        row = f"{it['number']} {it['title']}"
        lines.append(f"| {name.replace('_', ' ')} | {row} | {it['struck']} | {broken} | {verdict} |")
    return lines


def main() -> int:
    """Run each row without its protection; exit code 0 only where all turn red."""
    stop_in_order()
    parser = argparse.ArgumentParser(prog="tests.faults.ablation", description=__doc__)
    parser.add_argument("--only", choices=ROWS)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--write", action="store_true", help="write the table to docs/reliability.md")
    options = parser.parse_args()
    rows = load_rows()
    results = []
    for name in [options.only] if options.only else ROWS:
        number, arguments = ROWS[name]
        given = ["--seed", str(options.seed), "--without", name, *arguments]
        results.append((name, run_in_process(rows[number], given, rows[number].limit)))
    lines = [*summary([it for _, it in results], options.seed), *table(results)]
    print("\n" + "\n".join(lines))
    if options.write:
        write_section(DOCUMENT, "ablation", lines)
    return 0 if all(red(it) for _, it in results) else 1


if __name__ == "__main__":
    sys.exit(main())
