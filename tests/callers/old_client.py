"""kafka-python 2.0.2, which the orchestrators and the notification service run on, as a process to talk to."""

import json
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.harness.service import CHECKOUT

PACKAGE = "kafka-python==2.0.2"
NEWEST_PYTHON = (3, 11)  # its copy of `six` has no find_spec, which 3.12 asks for
_SCRIPT = Path(__file__).with_name("old_script.py")
_SECONDS = 20.0

Record = dict[str, Any]


@cache
def old_python() -> str:
    """Return the interpreter of an environment with the old client only; made at the first use, then kept."""
    if sys.version_info[:2] > NEWEST_PYTHON:
        pytest.skip("kafka-python 2.0.2 needs Python 3.11")
    folder = CHECKOUT / ".stack" / "kafka-python-2.0.2"
    python, installed = folder / "bin" / "python", folder / "installed"
    if not installed.exists():
        venv.create(folder, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]
        subprocess.run(install, check=True, timeout=100)
        installed.touch()
    return str(python)


def commit(bootstrap: str, group: str, topic: str, offsets: list[int]) -> None:
    """Commit the offsets of partitions 0, 1, … for the group."""
    command = [old_python(), str(_SCRIPT), "commit", bootstrap, group, topic, *map(str, offsets)]
    subprocess.run(command, check=True, timeout=30)


class OldClient:
    """Sends without keys, and keeps every record of its topics in the order of its reading. `close` ends it."""

    def __init__(self, bootstrap: str, *topics: str) -> None:
        self._records: list[Record] = []
        self._news = threading.Condition(threading.RLock())
        command = [old_python(), str(_SCRIPT), "talk", bootstrap, *topics]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._records.append(json.loads(line))
                self._news.notify_all()

    def send(self, topic: str, *values: Record) -> None:
        """Hand the values to the producer; returns at once. Safe from any thread."""
        assert self._process.stdin is not None
        lines = [json.dumps({"topic": topic, "value": value}) + "\n" for value in values]
        with self._news:
            self._process.stdin.writelines(lines)
            self._process.stdin.flush()

    def records(self, topic: str, **envelope: object) -> list[Record]:
        """Return the records of the topic so far whose value has these fields."""
        with self._news:
            found = [it for it in self._records if it["topic"] == topic]
        return [it for it in found if envelope.items() <= {k: it["value"].get(k) for k in envelope}.items()]

    def until(self, arrived: Callable[[], Any], what: str, seconds: float = _SECONDS) -> Any:
        """Return what `arrived` returns as soon as that is true; it is asked again after each record."""
        deadline = time.monotonic() + seconds
        with self._news:
            while not (value := arrived()):
                assert self._process.poll() is None, "the old client has died of what it read"
                assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
                self._news.wait(0.2)
            return value

    def close(self) -> None:
        """End the process; fails where it has died of something."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(_SECONDS) == 0, "the old client has died of what it read"
        self._reader.join(_SECONDS)
        self._process.stdout.close()
