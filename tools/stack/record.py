"""Who runs in a folder, kept in a file, so that a later run finds what a killed one left behind.

A process is named by its id and its start time together: an id that was given to somebody else's process is never
mistaken for ours.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

# Start times are computed from the clock; two processes with one id are never this close, a small step of the clock is.
_SAME_START_SECONDS = 1.0


def is_alive(process: psutil.Process) -> bool:
    """False for a zombie too: one whose parent does not look after it stays for ever."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True)
class Mark:
    """A process, for ever: its id and when it started (seconds since the epoch)."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int | None = None) -> "Mark":
        """Of this process, or of a child that was just started."""
        process = psutil.Process(pid)
        return cls(process.pid, process.create_time())

    def find(self) -> psutil.Process | None:
        """The process, or None when it has ended (a zombie has) or its id belongs to another."""
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
        """Replaces the file at once, so that a reader never sees half of it."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """None when nothing was recorded, or nothing that can be read."""
        try:
            document = json.loads(path.read_text())
            return cls(Mark(**document["server"]), Mark(**document["owner"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
