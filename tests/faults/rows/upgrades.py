"""Row 49: the release before and this one take turns under load, on the schema of this one."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.faults.rows import row
from tests.faults.rows.starts import newest_revision
from tests.faults.trial import Trial
from tests.harness.service import CHECKOUT

LEAST_WRITES = 100


@row(49, "rolling upgrade from the release before, back, and again", seconds=30.0, quick=(10.0, 1), limit=600.0)
def rolls(trial: Trial) -> None:
    """The schema first, while the release before answers; then one instance after the other. UPGRADE_FROM names
    another commit to begin with."""
    before = release_before(trial.stack.folder / "before")
    trial.row.require_struck(before is not None, "git does not have the release before: a shallow clone")
    if before is None:
        return
    for _ in range(2):
        trial.stack.instance().checkout = before
        trial.instances[-1].start()
    with trial.load.running(trial.stack, trial.seed):
        trial.await_writes(LEAST_WRITES)
        since = time.monotonic()
        migrate(trial)
        trial.await_writes(LEAST_WRITES)
        for checkout in (CHECKOUT, before, CHECKOUT):
            roll(trial, checkout)
            trial.pause(trial.seconds / 4)
            trial.await_writes(LEAST_WRITES)
    trial.no_failures(since, 0, "ConnectionRefusedError")
    trial.settle()
    logs = "".join(instance.log_text() for instance in trial.instances)
    trial.row.require("Traceback" not in logs, "a traceback was logged")
    trial.own(f"schema {newest_revision(before)} to {newest_revision(CHECKOUT)}")


def release_before(folder: Path) -> Path | None:
    """Return the code of the newest release that the changelog names, in a folder of its own; None without it."""
    named = re.search(r"^## \d+\.\d+\.\d+$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if named is None:
        return None
    commit = os.environ.get("UPGRADE_FROM") or git("log", f"-S{named[0]}", "--format=%H", "--", "CHANGELOG.md").split()
    if not commit:
        return None
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    git("archive", f"--output={archive}", commit if isinstance(commit, str) else commit[-1])
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    return folder


def git(*arguments: str) -> str:
    """Return what git says in the checkout."""
    return subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout


def migrate(trial: Trial) -> None:
    """Bring the schema to this release's head, as a step of a deployment."""
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, cwd=CHECKOUT, env=os.environ | trial.stack.settings, check=True, timeout=200)
    trial.strike()


def roll(trial: Trial, checkout: Path) -> None:
    """Replace one instance after the other by the code in the folder."""
    for instance in trial.instances:
        trial.row.require(instance.terminate() == 0, "did not end by itself")
        instance.checkout = checkout
        instance.start()
        trial.strike()
