"""HTTP load in a process of its own: wrk where it is installed, else the client of this package; both do the same."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from tests.benchmarks.check import require
from tests.harness.service import CHECKOUT

CONNECTIONS = 32
MOST_SECONDS = 120
SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of request. `@` in path and body stands for a value: a line of the file `values`, or a number.

    The load begins with the value at `first`. Each line is used once, unless `again`. `credential`: what stands behind
    Bearer, if anything does; `traceparent`: the header of that name, if it is sent.
    """

    method: str
    path: str
    expected: int
    body: str = ""
    values: Path | None = None
    again: bool = False
    first: int = 0
    credential: str = ""
    traceparent: str = ""

    def after(self, answers: "Answers") -> Self:
        """Return the load that goes on behind this one."""
        return replace(self, first=self.first + answers.count)

    def environment(self, seconds: float) -> dict[str, str]:
        """Return what both clients are told."""
        return {
            "LOAD_METHOD": self.method,
            "LOAD_PATH": self.path,
            "LOAD_BODY": self.body,
            "LOAD_CREDENTIAL": self.credential,
            "LOAD_TRACEPARENT": self.traceparent,
            "LOAD_VALUES": str(self.values or ""),
            "LOAD_AGAIN": str(int(self.again)),
            "LOAD_FIRST": str(self.first),
            "LOAD_SECONDS": str(seconds),
        }


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back: `count` answers with the expected status, first request and last answer in seconds since 1970,
    percentiles of the latency in milliseconds (wrk corrects them for coordinated omission)."""

    count: int
    began: float
    ended: float
    p50: float
    p99: float

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return self.ended - self.began


def wrk() -> str | None:
    """Return where wrk is, None where it is not installed."""
    return shutil.which("wrk")


def run(load: Load, port: int, seconds: float, connections: int = CONNECTIONS) -> Answers:
    """Send for so many seconds, and wait for every answer. Raises Wrong where one is missing or has another status."""
    figures = finish(start(load, port, seconds, connections))
    return judged(load, figures)


def start(load: Load, port: int, seconds: float, connections: int) -> "subprocess.Popen[str]":
    """Start the client; `finish` waits for it."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.benchmarks.client", url, str(connections)]
    if program := wrk():
        patience = f"-d{MOST_SECONDS}s", f"--timeout={MOST_SECONDS}s"
        command = [program, "-t1", f"-c{connections}", *patience, f"-s{SCRIPT}", url]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=os.environ | load.environment(seconds)
    )


def finish(client: "subprocess.Popen[str]") -> dict[str, float]:
    """Return the client's figures by name. wrk goes on for MOST_SECONDS unless it is told that all is answered."""
    figures: dict[str, float] = {}
    with client:
        assert client.stdout is not None
        for line in client.stdout:
            if line == "drained\n":
                client.send_signal(signal.SIGINT)
            elif line.startswith("result "):
                name, _, value = line.removeprefix("result ").partition("=")
                figures[name] = float(value)
    return figures


def judged(load: Load, figures: dict[str, float]) -> Answers:
    """Return the answers in a client's figures. Raises Wrong."""
    statuses = {name: int(count) for name, count in figures.items() if name.startswith("status ")}
    count = statuses.pop(f"status {load.expected}", 0)
    require(not statuses, f"{load.method} {load.path}: answers with {statuses} instead of {load.expected}")
    complete = count > 0 and count == figures.get("sent") and not figures.get("lost")
    require(complete, f"{load.method} {load.path}: {count} answers to {figures.get('sent', 0):.0f} requests")
    return Answers(count, figures["began"], figures["ended"], figures["p50"], figures["p99"])
