"""One server process: start, wait until it answers, stop, kill, freeze.

Each server has a session of its own, so that Ctrl-C reaches only this program, which stops the parts in order. A
subclass gives the command line and says when the server answers. Use it from one thread.
"""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from tools.stack.errors import AlreadyRunning, StackError
from tools.stack.ports import free_port, require_free
from tools.stack.record import Mark, Record, is_alive

_POLL_SECONDS = 0.05
_DEATH_SECONDS = 10.0
_TAIL_LINES = 20


class Server(ABC):
    """A server on 127.0.0.1 with a folder of its own for data, log and record."""

    name: str
    start_seconds: float
    stop_seconds: float

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self.port = port if port is not None else free_port()
        self.log = self.folder / "server.log"
        self._record = self.folder / "process.json"
        self._child: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Prepare the server's folder, and return the command line. May block."""

    @abstractmethod
    def _answers(self) -> bool:
        """Tell whether the server works already. Returns within about two seconds, raises nothing."""

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment(), start_new_session=True
        )

    def _environment(self) -> Mapping[str, str]:
        return os.environ

    @property
    def running(self) -> bool:
        """Whether the process exists, frozen or not, of this run or of an earlier one."""
        return self._main() is not None

    def start(self) -> None:
        """Call `launch` and `await_answer`. Raises what they raise."""
        self.launch()
        self.await_answer()

    def launch(self) -> None:
        """Start the process; blocks for its preparation only.

        First stops what an earlier, killed run left in the folder. Raises AlreadyRunning where that run is alive,
        PortTaken, or StackError; then nothing is left running.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clear_leftover()
        self._reap()
        require_free(self.port, self.name)
        command = self._prepare()
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.before"))
        with self.log.open("wb") as log:
            self._child = self._spawn(command, log)
        try:
            Record(Mark.of(self._child.pid), Mark.of()).write(self._record)
        except BaseException:
            self.kill()
            raise

    def await_answer(self) -> None:
        """Block until it answers, at most `start_seconds`; else kill it. Raises StackError with the log's end."""
        try:
            self._await_answer()
        except BaseException:
            self.kill()
            raise

    def clear_leftover(self) -> None:
        """Stop what a killed run left in the folder. Blocks like `stop`. Raises AlreadyRunning if that run is alive."""
        record = Record.read(self._record)
        if record is None or not self.running:
            return
        owner = record.owner.find()
        if owner is not None:
            raise AlreadyRunning(f"{self.name} of {self.folder} already runs, started by process {owner.pid}.")
        self.stop()

    def stop(self) -> None:
        """Ask the server to end, block for at most `stop_seconds`, then kill it. Does nothing where it does not run."""
        self._stop(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process and all its children; return when they are gone."""
        if self.running:
            self.freeze()  # so that it starts no child meanwhile
            tree = self._tree()
            for process in tree:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            wait_gone(tree, _DEATH_SECONDS)
        self._reap()

    def freeze(self) -> None:
        """Send SIGSTOP to the process and all its children: the server keeps its connections and answers nothing."""
        self._signal_tree(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal_tree(signal.SIGCONT)

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-_TAIL_LINES:])

    def _stop(self, request: signal.Signals) -> None:
        main = self._main()
        if main is not None:
            self.thaw()
            with suppress(psutil.NoSuchProcess):
                main.send_signal(request)
            wait_gone([main], self.stop_seconds)
        self.kill()

    def _await_answer(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while self.running:
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} did not answer within {self.start_seconds:.0f} s.\n{self.log_tail()}")
            time.sleep(_POLL_SECONDS)
        raise StackError(f"{self.name} ended while starting.\n{self.log_tail()}")

    def _main(self) -> psutil.Process | None:
        record = Record.read(self._record)
        return record.server.find() if record else None

    def _tree(self) -> list[psutil.Process]:
        main = self._main()
        if main is None:
            return []
        try:
            return [main, *main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _signal_tree(self, request: signal.Signals) -> None:
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(request)

    def _reap(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


def wait_gone(processes: list[psutil.Process], seconds: float) -> None:
    """Block until all processes have ended, at most `seconds`."""
    deadline = time.monotonic() + seconds
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS / 5)
