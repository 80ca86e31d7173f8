"""A file that says which process runs in a folder, so that a later run finds what a killed run left behind.

A process is known by its id and its start time together, so another program that got the id is not mistaken for ours.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

# Start times are computed from the clock, which may step a little; two processes with one id are never this close.
_SAME_START_SECONDS = 1.0


def is_alive(process: psutil.Process) -> bool:
    """Tell whether the process runs. A zombie does not: without a parent that waits for it, it stays for ever."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True)
class Mark:
    """A process: its id, and when it started (seconds since 1970)."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int | None = None) -> "Mark":
        """Return the mark of this process, or of a child that was just started."""
        process = psutil.Process(pid)
        return cls(process.pid, process.create_time())

    def find(self) -> psutil.Process | None:
        """Return the process; None where it has ended (a zombie has) or its id belongs to another."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START_SECONDS
        except psutil.NoSuchProcess:
            return None
        return process if same and is_alive(process) else None


@dataclass(frozen=True)
class Record:
    """The server of a folder and the process that started it."""

    server: Mark
    owner: Mark

    def write(self, path: Path) -> None:
        """Replace the file in one step, so that no reader sees half of it."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """Return the record; None where there is none that can be read."""
        try:
            document = json.loads(path.read_text())
            return cls(Mark(**document["server"]), Mark(**document["owner"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
