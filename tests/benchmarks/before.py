"""The version before: its commit in a worktree of its own, with the packages that it asks for, started as it says."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.benchmarks.environment import LeftOut, NotInstalled, agrees, python_with
from tests.harness.service import CHECKOUT, Instance

COMMIT = "6451d56"
"""The last commit whose worker was gunicorn's, with a thread for each request."""


class Before(Instance):
    """That version at work, with its own defaults; it brings its database to its own head."""

    name = "the version before"

    def __init__(self, folder: Path, settings: Mapping[str, str], tree: Path, python: Path) -> None:
        super().__init__(folder, settings)
        self.checkout = tree
        self._python = python

    def _prepare(self) -> list[str]:
        return [str(self._python), *super()._prepare()[1:]]


def commit_of(checkout: Path) -> str:
    """Return the whole hash of the commit. Raises LeftOut where the clone has not got it."""
    try:
        found = _git(checkout, "rev-parse", "--verify", "--quiet", f"{COMMIT}^{{commit}}")
    except OSError:
        raise LeftOut("git is not installed here") from None
    if found.returncode:
        raise LeftOut(f"this clone has not got the commit {COMMIT} (a shallow one has only the newest)")
    return found.stdout.strip()


def check_out(tree: Path, at_end: Callable[[Callable[[], object]], None], checkout: Path = CHECKOUT) -> Path:
    """Make a worktree of that commit in the folder `tree`, and return the interpreter that has its packages.

    What removes it is given to `at_end`. Raises LeftOut.
    """
    commit = commit_of(checkout)
    made = _git(checkout, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--force", str(tree), commit)
    if made.returncode:
        raise LeftOut(f"git could not make a worktree of {COMMIT}: {made.stderr.strip()[-200:]}")
    at_end(lambda: _git(checkout, "worktree", "remove", "--force", str(tree)))
    return _python_of(tree / "requirements.txt")


def _python_of(requirements: Path) -> Path:
    if agrees(requirements.read_text()):
        return Path(sys.executable)
    try:
        return python_with(requirements, CHECKOUT / ".stack" / "benchmarks-before")
    except NotInstalled as error:
        raise LeftOut(str(error)) from None


def _git(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False)
