"""The log of the real server: a log shipper that hangs stops nobody, and the last lines of a process are there."""

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from app.utils.log_writer import MAX_BYTES
from tests.harness.service import Instance
from tests.harness.waiting import until

NOWHERE = {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
LONG = "/" + "x" * 7000
"""A path that nobody serves, and a long line at `debug`."""


class Piped(Instance):
    """The service, with a pipe for its log that is read only from `read` on."""

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        self.reading, writing = os.pipe()
        try:
            return subprocess.Popen(
                command,
                cwd=self.checkout,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=writing,
                env=self._environment(),
                start_new_session=True,
            )
        finally:
            os.close(writing)

    def read(self) -> None:
        """Read the log from now on, to its end."""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with self.history.open("ab") as history:
            while got := os.read(self.reading, 65536):
                history.write(got)
                history.flush()

    def fill(self) -> None:
        """Have more logged than a pipe and what waits for it can hold."""
        for _ in range(MAX_BYTES // len(LONG) + 65536 // len(LONG) + 20):
            assert self.get(LONG)[0] == 404


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[Piped]:
    instance = Piped(tmp_path, NOWHERE | {"LOG_LEVEL": "debug"}, ready_path="/health")
    instance.start()
    yield instance
    instance.kill()
    os.close(instance.reading)


def test_while_nobody_reads_the_log_callers_are_answered_and_afterwards_it_goes_on(piped: Piped) -> None:
    """[H1]"""
    piped.fill()
    assert piped.get("/health")[0] == 200
    piped.read()
    left_out = r"WARNING log app.utils.log_writer \[None\] [0-9]+ lines of the log were left out here"
    until(lambda: re.search(left_out, piped.log_text()) is not None, "the line that counts")
    assert piped.get("/nowhere")[0] == 404
    until(lambda: "/nowhere" in piped.log_text(), "the next line")
    assert piped.terminate() == 0
    piped._reader.join()
    assert re.search(r"kafka_service.* stopped$", piped.log_text(), re.MULTILINE)
    assert piped.log_text().count("left out here") == 1


def test_sigterm_ends_the_service_though_nobody_reads_its_log(piped: Piped) -> None:
    piped.fill()
    assert piped.terminate() == 0
