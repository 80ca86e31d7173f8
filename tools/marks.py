"""Lists the marks of docs/contract.md, such as [H9], that no test names; exits with 1 if there is one.

A test names a mark in square brackets, in its docstring or in a comment.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = ROOT / "docs" / "contract.md"
TESTS = ROOT / "tests"

_MARK = re.compile(r"\[([ORHKS][0-9]{1,2})\]")


def marks(text: str) -> set[str]:
    """Return the marks in `text`, without brackets."""
    return set(_MARK.findall(text))


def unproven(contract: Path = CONTRACT, tests: Path = TESTS) -> list[str]:
    """Return the contract's marks that no Python file below `tests` names, in order."""
    named = {mark for path in tests.rglob("*.py") for mark in marks(path.read_text(encoding="utf-8"))}
    return sorted(marks(contract.read_text(encoding="utf-8")) - named, key=lambda mark: (mark[0], int(mark[1:])))


def main() -> int:
    """Print the unproven marks, one per line; return the exit code."""
    missing = unproven()
    for mark in missing:
        print(mark)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
