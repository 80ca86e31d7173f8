"""`/metrics` of an instance with several workers: the sum of all, whichever answers, whatever becomes of a worker."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from app.server.metrics_folder import PREFIX
from tests.harness.service import Instance
from tests.harness.waiting import until

NOWHERE = {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
HEALTH = 'order_http_requests_total{method="GET",route="/health",status="200"}'
CONNECTIONS = "order_http_connections"
SOON = 90.0
pytestmark = pytest.mark.timeout(300)  # many workers begin, several at a time


class Counting(Instance):
    """An instance with several workers and no other servers; its master is the first process."""

    start_seconds = 120.0  # the workers begin at the same time

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__(folder, NOWHERE | {"WEB_CONCURRENCY": str(workers)}, ready_path="/health")

    def _prepare(self) -> list[str]:
        return [sys.executable, "run.py"]  # SIGUSR2 runs it again

    @property
    def master(self) -> psutil.Process:
        return self.processes()[0]

    def workers(self) -> list[psutil.Process]:
        return self.master.children()

    def await_workers(self, number: int) -> None:
        """Block until so many serve."""

        def all_serve() -> bool:
            with suppress(OSError):  # a worker that has just begun may be slow
                return len(self.figures("process_start_time_seconds")) == number
            return False

        until(all_serve, f"{number} workers", SOON)

    def figures(self, name: str) -> dict[str, float]:
        """By series."""
        lines = (line.rsplit(" ", 1) for line in self.get("/metrics")[1].splitlines() if line.startswith(name))
        return {series: float(value) for series, value in lines}

    def asked(self) -> float:
        return self.figures(HEALTH).get(HEALTH, 0)

    @contextmanager
    def alone(self, worker: psutil.Process) -> Iterator[None]:
        """Let one worker answer all."""
        others = [other for other in self.workers() if other.pid != worker.pid]
        assert len(others) == 2
        try:
            for other in others:
                other.suspend()
            yield
        finally:
            for other in others:
                other.resume()

    def ask(self, times: int) -> None:
        for _ in range(times):
            assert self.get("/health")[0] == 200

    def folder_of_metrics(self) -> Path:
        return folders([self.master])[0]


def folders(processes: Sequence[psutil.Process]) -> list[Path]:
    """The folders of metrics that the processes hold."""
    held = {os.readlink(one) for process in processes for one in Path(f"/proc/{process.pid}/fd").iterdir()}
    return [Path(one) for one in held if Path(one).name.startswith(PREFIX)]


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counting]:
    instance = Counting(tmp_path_factory.mktemp("counting"), 3)
    instance.start()
    instance.await_workers(3)
    yield instance
    instance.kill()


def test_every_worker_shows_what_all_of_them_counted(counting: Counting) -> None:
    before = counting.asked()
    for times, worker in enumerate(counting.workers(), 1):
        with counting.alone(worker):
            counting.ask(10 * times)
    for worker in counting.workers():
        with counting.alone(worker):
            assert counting.asked() == before + 60
    labels = 'method="GET",route="/health"'
    seconds = counting.figures("order_http_request_seconds")
    assert seconds[f'order_http_request_seconds_bucket{{le="+Inf",{labels}}}'] == before + 60
    assert seconds[f"order_http_request_seconds_count{{{labels}}}"] == before + 60


def test_a_worker_that_is_killed_takes_its_gauges_with_it_and_no_counts(counting: Counting) -> None:
    victim, before = counting.workers()[0], counting.asked()
    with ExitStack() as clients:
        with counting.alone(victim):
            counting.ask(7)
            for _ in range(5):
                client = clients.enter_context(socket.create_connection(("127.0.0.1", counting.port), 5))
                client.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200")
        until(lambda: counting.figures(CONNECTIONS)[CONNECTIONS] >= 6, "its connections", SOON)
        victim.kill()
        until(lambda: counting.figures(CONNECTIONS)[CONNECTIONS] < 3, "the end of its connections", SOON)
        assert counting.asked() == before + 12
    counting.await_workers(3)
    assert victim.pid not in {worker.pid for worker in counting.workers()}
    counting.ask(1)
    assert counting.asked() == before + 13


def test_sighup_goes_on_with_the_counts_and_the_number_of_files_is_bounded(counting: Counting) -> None:
    before, old = counting.asked(), {worker.pid for worker in counting.workers()}
    counting.master.send_signal(signal.SIGHUP)
    until(lambda: not old & {one.pid for one in counting.master.children()}, "new workers", SOON)
    counting.await_workers(3)
    assert len(list(counting.folder_of_metrics().iterdir())) <= 6 * 4  # slots of old and new workers at a time
    counting.ask(4)
    assert counting.asked() == before + 4
    assert counting.asked() == before + 4


def test_prometheus_understands_a_scrape(counting: Counting) -> None:
    assert shutil.which("promtool"), "promtool is missing: apt-get install prometheus"
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=counting.get("/metrics")[1], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_two_masters_count_together_and_the_last_one_cleans_up(tmp_path: Path) -> None:
    """SIGUSR2, then the end of the old master."""
    instance = Counting(tmp_path, 2)
    instance.start()
    instance.await_workers(2)
    old = instance.master
    folder, olds, before = instance.folder_of_metrics(), {one.pid for one in old.children()}, instance.asked()
    instance.ask(5)
    old.send_signal(signal.SIGUSR2)
    instance.await_workers(4)
    [new] = [child for child in old.children() if child.pid not in olds]
    try:
        assert folders([new]) == [folder]
        instance.ask(5)
        old.terminate()
        old.wait(SOON)
        instance.await_workers(2)
        instance.ask(5)
        assert instance.asked() == before + 15
        new.terminate()
        until(lambda: not folder.exists(), "the end of the folder", SOON)
    finally:
        for process in (*new.children(recursive=True), new):
            process.kill()
        instance.kill()


def test_a_start_removes_what_a_killed_master_left_and_nothing_of_others(counting: Counting, tmp_path: Path) -> None:
    other = Counting(tmp_path, 1)
    other.start()
    other.ask(100)
    left = other.folder_of_metrics()
    other.kill()
    assert left.exists()
    other.start()
    try:
        assert not left.exists()
        assert other.folder_of_metrics() != counting.folder_of_metrics()
        assert other.asked() < 100
        assert counting.asked() > 10
    finally:
        other.terminate()
