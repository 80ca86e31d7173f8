"""One instance of the service as a real process: gunicorn with the production configuration."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

from tools.stack.server import Server, wait_gone

CHECKOUT = Path(__file__).resolve().parents[2]
_READ_BACK = re.compile(r"read back: (\d+) records")
_STOPPED_SECONDS = 40.0
PATIENCE_SECONDS = 15.0  # for one answer; tests of how soon it comes measure that themselves


class Instance(Server):
    """`start` returns when `/readyz` answers 200 (or `ready_path` does), `kill` is kill -9 of the process group.

    The log of all its lives is one file, `history`.
    """

    name = "an instance of the order service"
    start_seconds = 90.0
    stop_seconds = 40.0

    def __init__(
        self, folder: Path, settings: Mapping[str, str], wsgi: str = "run:app", ready_path: str = "/readyz"
    ) -> None:
        super().__init__(folder)
        self.settings = dict(settings)
        self.wsgi = wsgi
        self.ready_path = ready_path
        self.history = self.folder / "service.log"
        self.checkout = CHECKOUT

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """SIGKILL to the whole process group at once."""
        main = self._main()
        tree = self._tree()
        if main is not None:
            with suppress(ProcessLookupError):
                os.killpg(main.pid, signal.SIGKILL)
            self._reap()  # a zombie holds nobody up
            wait_gone(tree, _STOPPED_SECONDS)
        super().kill()

    def terminate(self) -> int | None:
        """SIGTERM, and wait for the end; return the exit code, None when it did not end within 40 s."""
        assert self._child is not None
        self._child.send_signal(signal.SIGTERM)
        try:
            return self._child.wait(_STOPPED_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def processes(self) -> list[psutil.Process]:
        """The master and its workers."""
        return self._tree()

    def ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def parts(self) -> dict[str, dict[str, Any]]:
        """Return what `/readyz` says of each part. Raises OSError where nobody answers."""
        found: dict[str, dict[str, Any]] = json.loads(self.get("/readyz")[1])["parts"]
        return found

    def stuck_threads(self) -> list[str]:
        """Return the names of the threads whose heartbeat is too old."""
        return [name for name, part in self.parts().items() if "seconds_since_beat" in part and not part["ok"]]

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET. Raises OSError where nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=PATIENCE_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """Return the sum over all labels of a metric of this process."""
        lines = self.get("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}[ {{]", line))

    def read_backs(self) -> list[int]:
        """Return the records removed by each read-back of all its lives."""
        return [int(number) for number in _READ_BACK.findall(self.log_text())]

    def log_text(self) -> str:
        """Return the log of all its lives."""
        return self.history.read_text(errors="replace") if self.history.exists() else ""

    def log_tail(self) -> str:
        """The last lines of the log, for error messages."""
        return "\n".join(self.log_text().splitlines()[-20:])

    def _prepare(self) -> list[str]:
        return [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", self.wsgi]

    def _environment(self) -> Mapping[str, str]:
        return os.environ | self.settings | {"PORT": str(self.port)}

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        with self.history.open("ab") as lives:
            return subprocess.Popen(
                command,
                cwd=self.checkout,
                stdin=subprocess.DEVNULL,
                stdout=lives,
                stderr=lives,
                env=self._environment(),
                start_new_session=True,
            )

    def _answers(self) -> bool:
        try:
            return self.get(self.ready_path)[0] == 200
        except OSError:
            return False
