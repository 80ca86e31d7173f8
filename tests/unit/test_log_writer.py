"""The thread that writes the log: a reader that hangs stops nobody, and what was left out is told."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from app.utils import log_writer as subject
from app.utils.log_writer import LogWriter

LINE = "x" * 999
DEADLINE = 20.0


class Pipe:
    """A pipe to log into, which is read when a test says so."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.writer = LogWriter(self.writing)

    def say(self, message: str, *args: object) -> None:
        self.writer.handle(logging.makeLogRecord({"msg": message, "args": args}))

    def read_until(self, wanted: bytes) -> bytes:
        got = b""
        while wanted not in got:
            got += os.read(self.reading, 65536)
        return got


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.reading)  # ends a write that waits
    pipe.writer.close()
    assert pipe.writer._thread is not None
    pipe.writer._thread.join(DEADLINE)
    os.close(pipe.writing)


def test_a_reader_that_hangs_stops_nobody_and_what_was_left_out_is_told(pipe: Pipe) -> None:
    fits = subject.MAX_BYTES // (len(LINE) + 1)
    for _ in range(2 * fits):
        pipe.say(LINE)
    got = pipe.read_until(b" lines of the log were left out here")
    lines = got.decode().splitlines()
    assert fits <= lines.count(LINE) < 2 * fits
    assert lines[:-1] == [LINE] * (len(lines) - 1)
    assert int(lines[-1].split()[0]) == 2 * fits - lines.count(LINE)

    pipe.say("goes on")
    assert pipe.read_until(b"\n") == b"goes on\n"


def test_the_end_waits_for_what_is_written_slowly_but_not_for_ever(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "END_SECONDS", 0.05)
    for _ in range(200):
        pipe.say(LINE)
    pipe.writer.await_written()  # nobody reads
    monkeypatch.setattr(subject, "END_SECONDS", DEADLINE)
    reader = threading.Thread(target=pipe.read_until, args=(b"the last\n",))
    reader.start()
    pipe.say("the last")
    pipe.writer.await_written()
    reader.join(DEADLINE)
    assert not reader.is_alive()


def test_a_line_that_cannot_be_written_is_told_when_the_next_one_can_be() -> None:
    reading, writing = os.pipe()
    full = os.open("/dev/full", os.O_WRONLY)
    writer = LogWriter(full)
    for name, descriptor in (("lost", full), ("written", writing)):
        writer._descriptor = descriptor
        writer.handle(logging.makeLogRecord({"msg": name}))
        writer.await_written()
    writer.close()
    sentence = b"written\n1 lines of the log were left out here: standard error was not read, or could not be written\n"
    assert os.read(reading, 65536) == sentence
    for descriptor in (reading, writing, full):
        os.close(descriptor)


def test_a_line_that_cannot_be_made_is_a_traceback_in_the_log(pipe: Pipe) -> None:
    pipe.say("%d", "no number")
    assert pipe.read_until(b"TypeError").startswith(b"Traceback")


FORKS = """
import logging, os
from app.utils.log_writer import LogWriter
from app.utils.logging import configure
configure("info", "text", LogWriter())
log = logging.getLogger("app.test")
log.info("before")
child = os.fork()
if not child:
    log.info("in the child")
    configure("info", "text", LogWriter())
    log.info("configured anew")
else:
    os.waitpid(child, 0)
    log.info("the last")
"""


def test_before_and_after_a_fork_each_line_is_written_once_and_to_the_last() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60)
    said = [line.split("] ")[-1] for line in done.stderr.splitlines()]
    # A thread of each process writes, so the parent's first line may come behind those of its child.
    assert [line for line in said if line != "before"] == ["in the child", "configured anew", "the last"]
    assert said.count("before") == 1
    assert said[-1] == "the last"


ENDS_BESIDE_A_FULL_PIPE = """
import logging
from app.utils.log_writer import LogWriter
from app.utils.logging import configure
configure("info", "text", LogWriter())
for _ in range(10_000):
    logging.getLogger("app.test").info("x" * 999)
"""


def test_a_process_ends_by_itself_though_nobody_reads_its_log() -> None:
    reading, writing = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", ENDS_BESIDE_A_FULL_PIPE], stderr=writing)
    os.close(writing)
    try:
        assert child.wait(DEADLINE) == 0
    finally:
        child.kill()
        os.close(reading)
