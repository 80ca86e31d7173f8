"""Two instances that ask who calls: keys that come and go reach every worker of both within seconds."""

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.config.config import Settings
from app.models.callers import Scope
from app.operations import keys
from app.operations.audit import Operator
from tests.harness.service import Instance

PROMISED_SECONDS = 5.0
INSECURE = {"APP_ENV": "production", "KAFKA_BOOTSTRAP_SERVERS": "kafka.invalid:9092", "ALLOW_INSECURE": "1"}
IN_A_ROW = 20  # answers, so that each of two workers gave one


@pytest.fixture
def asking(settings: dict[str, str], tmp_path: Path) -> Iterator[list[Instance]]:
    """One that answers orders with two workers, and one with the Kafka threads alone. Both read a file of keys too."""
    file = tmp_path / "keys"
    file.write_text("# nobody yet\n")
    given = settings | {"AUTH_MODE": "api_key", "API_KEYS_FILE": str(file), "LOG_LEVEL": "debug"} | INSECURE
    with ExitStack() as stack:
        instances = [
            Instance(tmp_path / "api", given | {"WEB_CONCURRENCY": "2"}),
            Instance(tmp_path / "worker", given | {"ROLES": "worker"}, ready_path="/health"),
        ]
        for instance in instances:
            stack.callback(instance.kill)
            instance.start()
        yield instances


def status(instance: Instance, key: str) -> int:
    request = urllib.request.Request(f"{instance.url}/metrics", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def seconds_until(instances: Sequence[Instance], sent: Sequence[str], expected: int) -> float:
    """Return after how many seconds some worker gave another answer for the last time."""
    began = other = time.monotonic()
    in_a_row = 0
    while in_a_row < IN_A_ROW:
        if all(status(instance, key) == expected for instance in instances for key in sent):
            in_a_row += 1
        else:
            other, in_a_row = time.monotonic(), 0
        assert time.monotonic() < began + 60, f"somebody does not answer {expected}"
    return other - began


def test_a_key_is_known_and_refused_on_every_instance_within_seconds(
    asking: list[Instance], settings: dict[str, str], tmp_path: Path
) -> None:
    """[S2]"""
    operator = Operator(Settings.load(settings), "test")
    made = keys.create(operator, "prometheus", {Scope.OPERATOR})
    in_file = keys.line("from a file", {Scope.OPERATOR})
    (tmp_path / "keys").write_text(in_file.line + "\n")
    assert seconds_until(asking, [made.key, in_file.key], 200) < PROMISED_SECONDS
    keys.revoke(operator, made.id)
    (tmp_path / "keys").write_text("# nobody any more\n")
    assert seconds_until(asking, [made.key, in_file.key], 401) < PROMISED_SECONDS
    logs = "".join(instance.log_text() for instance in asking)
    assert "GET /metrics from 127.0.0.1 (prometheus): 200" in logs
    assert logs.count("ALLOW_INSECURE=1 overrides: KAFKA_SECURITY_PROTOCOL must be SSL") == len(asking)
    for key in (made.key, in_file.key):
        assert key.split("_")[2] not in logs


def test_new_workers_know_the_keys_before_they_serve(asking: list[Instance], settings: dict[str, str]) -> None:
    """[S2] SIGHUP replaces the workers; callers notice nothing."""
    made = keys.create(Operator(Settings.load(settings), "test"), "prometheus", {Scope.OPERATOR})
    instance = asking[0]
    seconds_until([instance], [made.key], 200)
    master, *before = [process.pid for process in instance.processes()]
    os.kill(master, signal.SIGHUP)
    answers = {status(instance, made.key)}
    deadline = time.monotonic() + 60
    while any(pid in before for pid in (process.pid for process in instance.processes())):
        answers.add(status(instance, made.key))
        assert time.monotonic() < deadline, "the old workers go on"
    answers |= {status(instance, made.key) for _ in range(IN_A_ROW)}
    assert answers == {200}
