"""deploy/systemd without a running systemd: its own checks of the unit, and the unit's commands as a process."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from app.config.config import Settings, from_environment
from tests.harness.service import CHECKOUT
from tests.harness.waiting import until
from tools.stack.ports import free_port

FOLDER = CHECKOUT / "deploy" / "systemd"
UNIT = (FOLDER / "order-service.service").read_text()
EXAMPLE = (FOLDER / "settings.env").read_text()
INSTALLED = "/opt/order-service"
EXPOSURE = 20  # tenths; systemd calls up to 2.0 "OK" in the best sense, and this unit has 1.1


def values(key: str) -> list[str]:
    """Return the values of a key of the unit, in their order."""
    return re.findall(rf"^{key}=(.+)$", UNIT, re.MULTILINE)


def assignments(lines: list[str]) -> dict[str, str]:
    """Return the variables of `Environment=` lines or of a file of settings."""
    words = [word for line in lines if not line.startswith("#") for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


def environment(credentials: Path) -> dict[str, str]:
    """Return the settings of the unit and of the example, with the credentials in the folder."""
    given = assignments(EXAMPLE.splitlines()) | assignments(values("Environment"))
    return {name: value.replace("%d", str(credentials)) for name, value in given.items()}


def test_each_variable_of_the_unit_and_of_the_example_is_a_setting() -> None:
    settings = {setting.metadata["variable"] for setting in fields(Settings)}
    given = {name for name in environment(Path("/")) if not name.startswith("PYTHON")}
    assert given - settings == set()
    assert {"APP_ENV", "DATABASE_URL", "DATABASE_PASSWORD_FILE", "KAFKA_SASL_PASSWORD_FILE"} <= given


def test_the_documented_migration_has_all_that_the_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the owner, and not at an address of the worker, which Alembic would take."""
    document = (CHECKOUT / "docs" / "deploying.md").read_text()
    told = re.search(
        r"^ +owner=(\S+)\n((?:.*\\\n)+) +\.venv/bin/alembic -x grant_to=order_service", document, re.MULTILINE
    )
    assert told
    given = assignments([told[2].replace("\\\n", "").replace("$owner", told[1])])
    for path in re.findall(r"install -m 400 /dev/stdin (\S+)", document):
        (tmp_path / Path(path).name).write_text("secret\n")
    placed = {name: value.replace("/etc/order-service", str(tmp_path)) for name, value in given.items()}
    monkeypatch.setattr("app.config.config.ENV_FILE", FOLDER / "settings.env")  # to which .env leads
    settings = from_environment(placed, answers_callers=False)
    assert urlsplit(settings.worker_url).username == "order_owner"
    example = assignments(EXAMPLE.splitlines())["DATABASE_URL"]
    assert given["DATABASE_URL"] == example.replace("order_service@", "order_owner@")


def test_each_credential_is_loaded_and_each_loaded_one_is_used() -> None:
    loaded = {value.partition(":")[0] for value in values("LoadCredential")}
    used = {value.removeprefix("%d/") for value in assignments(values("Environment")).values() if "%d" in value}
    assert loaded == used


def test_systemd_finds_no_fault_in_the_unit_and_little_exposure(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing: install Debian's package systemd"
    unit = tmp_path / "order-service.service"
    unit.write_text(re.sub(rf"{INSTALLED}/\S+/python", sys.executable, UNIT).replace(INSTALLED, str(CHECKOUT)))
    verified = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    looked = subprocess.run(
        [analyze, "security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE}", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert looked.returncode == 0, looked.stdout + looked.stderr


@contextmanager
def started(given: dict[str, str], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """The process of ExecStart, and the socket at which it notifies systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(folder / "notify"))
        notified.settimeout(40)
        [command] = values("ExecStart")
        arguments = shlex.split(command.replace(f"{INSTALLED}/.venv/bin/python", sys.executable))
        process = subprocess.Popen(arguments, cwd=CHECKOUT, env=given | {"NOTIFY_SOCKET": str(folder / "notify")})
        try:
            yield process, notified
        finally:
            for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ():
                child.kill()
            process.kill()
            process.wait()


def ready(port: str) -> bool:
    """Whether `/readyz` answers 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=20) as answer:
            return bool(answer.status == 200)
    except (urllib.error.HTTPError, OSError):
        return False


@pytest.mark.timeout(240)
def test_the_units_commands_start_reload_and_stop_the_service(database_url: str, tmp_path: Path) -> None:
    place = urlsplit(database_url)
    (tmp_path / "database-password").write_text(f"{place.password}\n")
    (tmp_path / "kafka-password").write_text("secret\n")
    port = str(free_port())
    given = environment(tmp_path) | {
        "PATH": os.environ["PATH"],
        "PORT": port,
        "DATABASE_URL": f"postgresql://{place.username}@{place.hostname}:{place.port}{place.path}",
        "SCHEMA": "ensure",  # no step of a deployment has migrated
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    with started(given, tmp_path) as (process, notified):
        assert notified.recv(4096).startswith(b"READY=1")
        until(lambda: ready(port), "a service that is ready")
        [worker] = psutil.Process(process.pid).children()
        [reload] = values("ExecReload")
        subprocess.run(shlex.split(reload.replace("$MAINPID", str(process.pid))), check=True)
        until(lambda: not worker.is_running(), "the end of the old worker")
        until(lambda: ready(port), "the new worker")
        begun = time.monotonic()
        process.terminate()  # KillMode=mixed: the master alone
        assert process.wait(float(values("TimeoutStopSec")[0])) == 0
        assert time.monotonic() - begun < 20


def test_the_time_to_stop_is_longer_than_that_of_the_last_requests() -> None:
    default = next(it for it in fields(Settings) if it.name == "graceful_timeout").metadata["default"]
    assert values("KillMode") == ["mixed"]
    assert float(values("TimeoutStopSec")[0]) >= float(default) + 5
