"""SIGHUP and SIGUSR2: settings and code anew, and nothing that is wrong with them ends what runs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.harness.found import query
from tests.harness.service import CHECKOUT, Instance
from tests.harness.waiting import until
from tools.stack.ports import free_port

NOWHERE = "127.0.0.1:1"
SOON = 40.0
SLOW_SECONDS = 6.0
SLOW_START = f"""
import os, time
if "ORDER_SERVICE_HAS_READ_ENV_FILE" in os.environ:  # in a worker, not where the start is tried
    time.sleep({SLOW_SECONDS})
"""
PARTS = ("app", "migrations", "run.py", "gunicorn.conf.py")


class Checkout(Instance):
    """The service from a checkout of its own, as `python run.py` starts it; a `.env` beside it has its settings."""

    def __init__(self, folder: Path, database_url: str) -> None:
        super().__init__(folder / "life", {}, ready_path="/health")
        self.checkout = folder / "checkout"
        self.database_url = database_url
        for part in PARTS:
            source, target = CHECKOUT / part, self.checkout / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.parent.mkdir(exist_ok=True)
                shutil.copy(source, target)
        self.write_env()

    def write_env(self, **lines: object) -> None:
        settings = {"DATABASE_URL": self.database_url, "KAFKA_BOOTSTRAP_SERVERS": NOWHERE, "PORT": self.port}
        text = "".join(f"{name}={value}\n" for name, value in (settings | lines).items())
        (self.checkout / ".env").write_text(text)

    def _prepare(self) -> list[str]:
        return [sys.executable, "run.py"]

    def _environment(self) -> dict[str, str]:
        hidden = ("PORT", "DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")
        return {name: value for name, value in os.environ.items() if name not in hidden}

    def workers(self) -> set[int]:
        return {process.pid for process in self.processes()[1:]}

    def hang_up(self) -> None:
        os.kill(self.processes()[0].pid, signal.SIGHUP)

    def says(self, text: str) -> bool:
        return text in self.log_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    service = Checkout(tmp_path, "postgresql://u:p@127.0.0.1:1/d")
    yield service
    service.kill()


def test_a_bad_line_in_the_env_file_changes_nothing_at_sighup_and_nothing_afterwards(checkout: Checkout) -> None:
    checkout.start()
    before = checkout.workers()
    checkout.write_env(RELAY_BATCH="lots")
    checkout.hang_up()
    refusal = "SIGHUP changes nothing: The service cannot start: RELAY_BATCH must "
    until(lambda: checkout.says(refusal), "the refusal", SOON)
    assert checkout.workers() == before
    [worker] = before
    os.kill(worker, signal.SIGKILL)  # its successor has the settings that the service runs with
    until(lambda: checkout.workers() not in (before, set()) and _answers(checkout), "new workers", SOON)
    until(lambda: checkout.says("relay_batch=500"), "the new setting", SOON)


def test_sighup_reads_the_env_file_anew_and_a_port_that_is_taken_changes_nothing(checkout: Checkout) -> None:
    checkout.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        checkout.write_env(PORT=taken.getsockname()[1])
        checkout.hang_up()
        until(lambda: checkout.says("is taken by another program"), "the refusal", SOON)
    assert checkout.get("/health")[0] == 200
    checkout.write_env(CORS_ORIGINS="https://orders.example", WEB_CONCURRENCY=2)
    checkout.hang_up()
    until(lambda: checkout.log_text().count("cors_origins=('https://orders.example',)") == 2, "the new setting", SOON)
    until(lambda: len(checkout.workers()) == 2, "two workers", SOON)
    checkout.write_env()  # a line that is gone is gone
    checkout.hang_up()
    until(lambda: len(checkout.workers()) == 1, "one worker", SOON)
    moved = free_port()
    checkout.write_env(PORT=moved)
    checkout.hang_up()
    checkout.port = moved
    until(lambda: _answers(checkout), "an answer", SOON)


def test_code_that_does_not_start_changes_nothing_at_sighup(checkout: Checkout) -> None:
    checkout.start()
    before = checkout.workers()
    routes = checkout.checkout / "app" / "api" / "routes.py"
    routes.write_text(routes.read_text() + "half a li")
    checkout.hang_up()
    until(lambda: checkout.says("SIGHUP changes nothing: SyntaxError"), "the refusal", SOON)
    assert checkout.workers() == before
    assert checkout.get("/health")[0] == 200


def test_the_old_worker_answers_until_a_new_one_serves_however_long_that_takes(checkout: Checkout) -> None:
    """Here longer than a caller waits. A new one that is killed meanwhile has a successor."""
    checkout.start()
    [old] = checkout.workers()
    package = checkout.checkout / "app" / "__init__.py"
    package.write_text(package.read_text() + SLOW_START)
    checkout.write_env(CORS_ORIGINS="https://orders.example")
    checkout.hang_up()
    until(lambda: checkout.log_text().count("Booting worker") == 2, "a new worker", SOON)
    [new] = checkout.workers() - {old}
    os.kill(new, signal.SIGKILL)
    waited = [0.0]
    while psutil.pid_exists(old):
        started = time.monotonic()
        assert checkout.get("/health")[0] == 200
        waited.append(time.monotonic() - started)
        assert sum(waited) < SOON, "the old worker goes on"
    assert checkout.get("/health")[0] == 200
    assert max(waited) < SLOW_SECONDS / 2
    assert sum(waited) > SLOW_SECONDS / 2
    assert checkout.says("cors_origins=('https://orders.example',)")
    assert old not in checkout.workers()
    assert len(checkout.workers()) == 1


def test_after_an_update_on_the_disk_sighup_runs_schema_and_code_of_the_new_release(
    tmp_path: Path, database_url: str
) -> None:
    checkout = Checkout(tmp_path, database_url)
    checkout.ready_path = "/readyz"
    try:
        checkout.start()
        versions = checkout.checkout / "migrations" / "versions"
        head = max(file.name.partition("_")[0] for file in versions.glob("[0-9]*.py"))
        _release(checkout, head)
        assert _version(database_url) == head  # what runs knows nothing of it yet
        checkout.hang_up()
        until(lambda: "the new release" in _health(checkout), "the new release", SOON)
        until(lambda: _version(database_url) == "9999", "the new schema", SOON)
    finally:
        checkout.kill()


def test_sigusr2_starts_a_new_master_beside_the_old_one_that_goes_on_alone(checkout: Checkout) -> None:
    checkout.start()
    [old, *workers] = checkout.processes()
    _release(checkout, "0001")
    checkout.write_env(CORS_ORIGINS="https://orders.example")
    old.send_signal(signal.SIGUSR2)
    until(lambda: checkout.says("cors_origins=('https://orders.example',)"), "the new setting", SOON)
    [new] = [child for child in old.children() if child.pid not in {worker.pid for worker in workers}]
    try:
        old.terminate()
        old.wait(40)
        until(lambda: "the new release" in _health(checkout), "the new release", SOON)
    finally:
        for process in (*new.children(recursive=True), new):
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_service_listens_on_ipv4_and_ipv6(checkout: Checkout, host: str) -> None:
    checkout.start()
    with socket.create_connection((host, checkout.port), 5) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_a_host_is_the_only_place_that_is_listened_on(checkout: Checkout) -> None:
    checkout.write_env(HOST="::1")
    checkout.ready_path = "/"
    checkout.launch()
    until(lambda: _connects("::1", checkout.port), "a connection", SOON)
    assert not _connects("127.0.0.1", checkout.port)


def test_a_port_that_is_taken_ends_the_start_with_a_sentence(checkout: Checkout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        checkout.write_env(PORT=taken.getsockname()[1], HOST="127.0.0.1")
        done = subprocess.run(
            [sys.executable, "run.py"],
            cwd=checkout.checkout,
            env=checkout._environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    sentence = f"The service cannot start: PORT {taken_port(done.stderr)} on 127.0.0.1 is taken by another program."
    assert done.stderr.splitlines()[-1] == sentence
    assert "Traceback" not in done.stderr


def test_an_env_file_of_a_folder_above_is_not_read(checkout: Checkout) -> None:
    (checkout.checkout.parent / ".env").write_text("ROLES=nobody\nKAFKA_COMMANDS_TOPIC=of-somebody-else\n")
    checkout.start()
    assert not checkout.says("of-somebody-else")


def taken_port(said: str) -> str:
    return said.rsplit("PORT ", 1)[1].split()[0]


def _release(checkout: Checkout, head: str) -> None:
    """Put another release on the disk: a migration more, and `/health` says which one it is."""
    newest = checkout.checkout / "migrations" / "versions" / "9999_next.py"
    newest.write_text(f'revision = "9999"\ndown_revision = "{head}"\n\n\ndef upgrade() -> None:\n    pass\n')
    health = checkout.checkout / "app" / "api" / "health.py"
    health.write_text(health.read_text().replace('"healthy"}', '"healthy", "release": "the new release"}'))


def _version(database_url: str) -> str:
    [(version,)] = query(database_url, "SELECT version_num FROM order_service_schema")
    return str(version)


def _health(checkout: Checkout) -> str:
    with suppress(OSError):
        return checkout.get("/health")[1]
    return ""


def _answers(checkout: Checkout) -> bool:
    return _health(checkout) != ""


def _connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True
