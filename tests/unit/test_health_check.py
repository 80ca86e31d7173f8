"""The container's health check, as the Dockerfile runs it."""

import json
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def check(host: str, port: int) -> int:
    """Run the very command of the Dockerfile; return its exit code."""
    line = re.search(r"HEALTHCHECK.*?CMD (\[.*?\])", (ROOT / "Dockerfile").read_text(), re.DOTALL)
    assert line is not None
    _, *command = json.loads(line[1])
    environment = {"HOST": host, "PORT": str(port)}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=False, timeout=20).returncode


@pytest.fixture(params=["127.0.0.1", "::1"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, socket.socket]]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as listener:
        yield request.param, listener


@pytest.mark.parametrize(
    ("line", "code"), [(b"HTTP/1.1 200 OK\r\n\r\n", 0), (b"HTTP/1.1 503 Away\r\n\r\n", 1), (b"", 1)]
)
def test_the_check_passes_only_on_200(server: tuple[str, socket.socket], line: bytes, code: int) -> None:
    host, listener = server

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1000).startswith(b"GET /health ")
            connection.sendall(line)

    thread = threading.Thread(target=answer)
    thread.start()
    assert check(host, listener.getsockname()[1]) == code
    thread.join(10)


def test_the_check_fails_where_nobody_listens_and_costs_next_to_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert check("*", port) == 1
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.09
