"""What production refuses, each in a sentence that names the variable, and what overrides the refusal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.environment import answers_callers
from app.config.config import HAS_READ_ENV_FILE, Settings, for_master, from_environment
from app.config.production import insecurities

ROOT = Path(__file__).resolve().parents[2]
SAFE = {
    "APP_ENV": "production",
    "AUTH_MODE": "api_key",
    "DATABASE_URL": "postgresql://u:secret@db.example/orders?sslmode=verify-full",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9093",
    "KAFKA_SECURITY_PROTOCOL": "SSL",
}
UNSAFE = [
    ("AUTH_MODE", {"AUTH_MODE": "off"}),
    ("DATABASE_URL", {"DATABASE_URL": "postgresql://u:secret@db.example/orders"}),
    ("DATABASE_URL", {"DATABASE_URL": "postgresql://u:secret@db.example/orders?sslmode=verify-ca"}),
    ("DATABASE_URL", {"DATABASE_URL": "postgresql://u:secret@localhost,10.0.0.1/orders?sslmode=require"}),
    ("DATABASE_URL", {"DATABASE_URL": "postgresql://u:secret@localhost/orders?hostaddr=10.0.0.1"}),
    ("DATABASE_URL", {"DATABASE_URL": "postgresql://u:secret@127.0.0.1.example/orders"}),
    ("WORKER_DATABASE_URL", {"WORKER_DATABASE_URL": "postgresql://u:secret@direct.example/orders"}),
    ("KAFKA_SECURITY_PROTOCOL", {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}),
    (
        "KAFKA_SECURITY_PROTOCOL",
        {"KAFKA_SECURITY_PROTOCOL": "", "KAFKA_BOOTSTRAP_SERVERS": "[::1]:9092,[fd00::1]:9092"},
    ),
]
HERE = [
    {"DATABASE_URL": "postgresql://u@localhost/orders"},
    {"DATABASE_URL": "postgresql://u@127.9.9.9:5433,[::1]/orders"},
    {"DATABASE_URL": "postgresql:///orders?host=/run/postgresql"},
    {"DATABASE_URL": "postgresql:///orders"},
    {"DATABASE_URL": "postgresql://u@anywhere/orders?hostaddr=127.0.0.1"},
    {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT", "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092,127.0.0.1:1,[::1]:2"},
]


def settings(changed: dict[str, str]) -> Settings:
    return Settings.load({name: value for name, value in (SAFE | changed).items() if value})


@pytest.mark.parametrize(("variable", "changed"), UNSAFE)
def test_what_is_not_safe_is_refused_in_production_alone(variable: str, changed: dict[str, str]) -> None:
    [sentence] = insecurities(settings(changed))
    assert sentence.startswith(f"{variable} must ")
    assert "secret" not in sentence
    assert insecurities(settings(changed | {"APP_ENV": "development"})) == []


@pytest.mark.parametrize("changed", [{}, *HERE])
def test_what_is_safe_starts(changed: dict[str, str]) -> None:
    assert insecurities(settings(changed)) == []


def test_a_command_of_an_operator_asks_nobody_who_calls() -> None:
    unsafe = settings({"AUTH_MODE": "off", "KAFKA_SECURITY_PROTOCOL": ""})
    assert [sentence.split(" ")[0] for sentence in insecurities(unsafe, answers_callers=False)] == [
        "KAFKA_SECURITY_PROTOCOL"
    ]
    assert from_environment(SAFE | {"AUTH_MODE": "off"}, answers_callers=False).auth_mode == "off"


def test_what_is_no_flask_command_answers_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answers_callers()
    monkeypatch.setenv("FLASK_RUN_FROM_CLI", "true")
    assert not answers_callers()


def test_the_start_ends_with_all_sentences_unless_they_are_overridden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unsafe = SAFE | {"AUTH_MODE": "off", "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}
    with pytest.raises(SystemExit) as ended:
        from_environment(unsafe)
    assert str(ended.value) == (
        "The service cannot start: AUTH_MODE must not be off in production: whoever reaches the port could change "
        "every order; KAFKA_SECURITY_PROTOCOL must be SSL or SASL_SSL in production: kafka.example:9093 of "
        "KAFKA_BOOTSTRAP_SERVERS is reached in plain text."
    )
    for name, value in (unsafe | {"ALLOW_INSECURE": "1"}).items():
        monkeypatch.setenv(name, value)
    warnings = json.loads(for_master())["warnings"]
    assert [warning.split(" ")[:3] for warning in warnings] == [
        ["ALLOW_INSECURE=1", "overrides:", "AUTH_MODE"],
        ["ALLOW_INSECURE=1", "overrides:", "KAFKA_SECURITY_PROTOCOL"],
    ]


def test_the_master_does_not_start_in_production_without_authentication() -> None:
    ended = subprocess.run(
        [sys.executable, "app/server/settings.py", "--for-master"],
        cwd=ROOT,
        env=os.environ | {"APP_ENV": "production", "AUTH_MODE": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("The service cannot start: AUTH_MODE must not be off in production")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "names a file that cannot be read"),
        ("ok_secret\n", "names a file whose line 1 must have an id, a SHA-256, scopes and a name."),
    ],
)
def test_a_bad_file_of_keys_stops_the_start_but_no_worker(content: str | None, why: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content)
    environment = {"AUTH_MODE": "api_key", "API_KEYS_FILE": str(file)}
    with pytest.raises(SystemExit) as ended:
        from_environment(environment)
    assert str(ended.value).startswith(f"The service cannot start: API_KEYS_FILE {why}")
    assert "ok_secret" not in str(ended.value)
    assert from_environment(environment | {HAS_READ_ENV_FILE: "1"}).api_keys_file == str(file)


def test_acts_in_a_console_that_asks_nobody_are_refused_in_production_alone() -> None:
    unsafe = {"AUTH_MODE": "off", "CONSOLE": "rw"}
    assert [sentence.split(" ")[0] for sentence in insecurities(settings(unsafe))] == ["AUTH_MODE", "CONSOLE"]
    assert insecurities(settings({"CONSOLE": "rw"})) == []
    assert insecurities(settings(unsafe | {"ROLES": "worker"}), answers_callers=False) == []
    assert insecurities(settings(unsafe | {"APP_ENV": "development"})) == []


@pytest.mark.parametrize(
    ("changed", "mode"),
    [
        ({}, "off"),
        ({"APP_ENV": "development"}, "ro"),
        ({"CONSOLE": "rw"}, "rw"),
        ({"APP_ENV": "development", "CONSOLE": "off"}, "off"),
        ({"CONSOLE": "rw", "ROLES": "worker"}, "off"),
        ({"CONSOLE": "ro", "ROLES": "api"}, "ro"),
    ],
)
def test_production_has_a_console_only_where_it_is_asked_for_and_a_worker_has_none(
    changed: dict[str, str], mode: str
) -> None:
    assert settings(changed).console_mode == mode


def test_a_short_secret_of_the_console_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("too-short-to-be-one")
    with pytest.raises(SystemExit) as ended:
        from_environment({"CONSOLE_SECRET_FILE": str(file)})
    assert "CONSOLE_SECRET_FILE names a file whose secret has less than 32 characters" in str(ended.value)
    assert "too-short" not in str(ended.value)
