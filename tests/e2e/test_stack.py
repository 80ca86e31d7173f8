"""The local stack keeps its promises: data survives a kill, leftovers are found, nobody else's process is touched."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import psutil
import psycopg2
import pytest
from kafka import KafkaConsumer, KafkaProducer

from tools.stack import __main__ as program
from tools.stack import jars
from tools.stack.broker import Broker
from tools.stack.errors import AlreadyRunning, JarsMissing, PortTaken, StackError
from tools.stack.postgres import Postgres
from tools.stack.record import Mark, Record
from tools.stack.server import Server
from tools.stack.service import CHECKOUT, Service

OWNER = """
import pathlib, signal, sys
from tools.stack.postgres import Postgres
Postgres(pathlib.Path(sys.argv[1]), int(sys.argv[2])).start()
print("started", flush=True)
signal.pause()
"""


@pytest.fixture
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("Postgres"))
    yield server
    server.kill()


@pytest.fixture
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    jars.kafka_jars()  # here, where no time limit of a test runs
    server = Broker(tmp_path_factory.mktemp("Broker"))
    yield server
    server.kill()


def recorded(server: Server) -> Mark:
    record = Record.read(server.folder / "process.json")
    assert record is not None
    return record.server


def main_process(server: Server) -> psutil.Process:
    process = recorded(server).find()
    assert process is not None
    return process


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url, connect_timeout=2)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_committed_rows_survive_a_kill_of_postgresql(own_postgres: Postgres) -> None:
    own_postgres.start()
    query(own_postgres.url(), "CREATE TABLE kept AS SELECT 7 AS number")
    own_postgres.kill()
    assert not own_postgres.running
    own_postgres.start()
    assert query(own_postgres.url(), "SELECT number FROM kept") == [(7,)]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgresql_stops_with_clients_connected(own_postgres: Postgres, mode: Literal["fast", "immediate"]) -> None:
    own_postgres.start()
    client = psycopg2.connect(own_postgres.url())
    own_postgres.stop(mode)
    client.close()
    assert not own_postgres.running


def test_a_frozen_postgresql_goes_on_when_it_is_thawed(own_postgres: Postgres) -> None:
    own_postgres.start()
    own_postgres.freeze()
    assert own_postgres.running
    with pytest.raises(psycopg2.OperationalError, match="took too long"):
        query(own_postgres.url(), "SELECT 1")
    own_postgres.thaw()
    assert query(own_postgres.url(), "SELECT 1") == [(1,)]


def test_records_topics_and_port_survive_a_kill_of_the_broker(own_broker: Broker) -> None:
    large = b"x" * 1_500_000
    own_broker.start()
    own_broker.create_service_topics()
    with KafkaProducer(bootstrap_servers=own_broker.bootstrap, max_request_size=2_000_000) as producer:
        producer.send("order_commands.dlq", large).get(timeout=30)
    address = own_broker.bootstrap
    own_broker.kill()
    own_broker.start()
    assert own_broker.bootstrap == address
    with KafkaConsumer("order_commands.dlq", bootstrap_servers=address, auto_offset_reset="earliest") as consumer:
        assert next(consumer).value == large


def test_a_leftover_is_stopped_only_when_its_owner_is_dead(own_postgres: Postgres) -> None:
    command = [sys.executable, "-c", OWNER, str(own_postgres.folder), str(own_postgres.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "started\n"
        with pytest.raises(AlreadyRunning, match=f"already runs, started by process {owner.pid}"):
            own_postgres.start()
        owner.send_signal(signal.SIGKILL)
    leftover = recorded(own_postgres)
    assert leftover.find() is not None
    own_postgres.start()
    assert leftover.find() is None
    assert own_postgres.running


def test_a_process_that_only_got_the_same_id_is_left_alone(own_postgres: Postgres) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        earlier = Mark(stranger.pid, started=Mark.of(stranger.pid).started - 3600)
        Record(earlier, earlier).write(own_postgres.folder / "process.json")
        own_postgres.clear_leftover()
        own_postgres.kill()
        assert stranger.poll() is None
        stranger.kill()


def test_frozen_processes_of_a_killed_postmaster_do_not_stop_the_start(own_postgres: Postgres) -> None:
    own_postgres.start()
    client = psycopg2.connect(own_postgres.url())
    own_postgres.freeze()
    main = main_process(own_postgres)
    main.kill()
    main.wait(30)
    own_postgres.start()
    client.close()
    assert query(own_postgres.url(), "SELECT 1") == [(1,)]


def test_a_lock_file_with_the_id_of_another_process_does_not_stop_the_start(own_postgres: Postgres) -> None:
    own_postgres.start()
    own_postgres.kill()
    lock = own_postgres.data / "postmaster.pid"
    _, *rest = lock.read_text().splitlines(keepends=True)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        lock.write_text("".join([f"{stranger.pid}\n", *rest]))
        own_postgres.start()
        stranger.kill()
    assert own_postgres.running


def test_a_taken_port_gives_a_sentence(postgres: Postgres, own_postgres: Postgres) -> None:
    own_postgres.port = postgres.port
    with pytest.raises(PortTaken, match=rf"^Port {postgres.port} .* wanted for PostgreSQL, is taken .*\.$"):
        own_postgres.start()


def test_missing_jars_give_a_sentence_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_broker: Broker
) -> None:
    monkeypatch.setattr(jars, "DOWNLOADS", tmp_path)
    monkeypatch.setattr(jars, "_FETCH", "raise SystemExit('no route to the repository')")
    with pytest.raises(JarsMissing, match=r"^Apache Kafka's jars could not be fetched: no route to the repository\.$"):
        own_broker.start()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_root_without_namespaces_runs_postgresql_as_another_account(
    own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    try:
        own_postgres.start()
        assert main_process(own_postgres).username() == "nobody"
    finally:
        own_postgres.kill()
        shutil.rmtree(own_postgres.installation.home)


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_bad_port_setting_gives_a_sentence(tmp_path: Path, place: str) -> None:
    shutil.copytree(CHECKOUT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    if place == ".env":
        (tmp_path / ".env").write_text("PGPORT=many\n")
    done = subprocess.run(
        [sys.executable, "-m", "tools.stack", "up"],
        cwd=tmp_path,
        env=os.environ | ({"PGPORT": "many"} if place == "environment" else {}),
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert done.stderr == "PGPORT must be a port between 1 and 65535, not 'many'.\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PORT", "abc"), ("DATABASE_POOL", "lots"), ("ROLES", "apis"), ("LOG_FORMAT", "xml"), ("WEB_CONCURRENCY", "two")],
)
def test_a_bad_setting_of_the_service_is_found_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setattr(program, "_FOLDER", tmp_path)
    monkeypatch.setenv(variable, value)
    with ExitStack() as parts, pytest.raises(StackError, match=rf"^The service cannot start: {variable} must .*\.$"):
        program._run(parts)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_of_the_service_is_found_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_FOLDER", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        with (
            ExitStack() as parts,
            pytest.raises(PortTaken, match=rf"^Port {port} .* the order service, is taken .*\.$"),
        ):
            program._run(parts)
    assert list(tmp_path.iterdir()) == []


def test_the_banner_has_addresses_that_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    addresses = {"DATABASE_URL": "postgresql://h/d", "KAFKA_BOOTSTRAP_SERVERS": "h:9"}
    program._banner(Service(tmp_path, 3100, addresses), addresses)
    shown = capsys.readouterr().err
    [export] = [line for line in shown.splitlines() if "export" in line]
    names = [*addresses, "ORDER_SERVICE"]
    pasted = subprocess.run(
        ["sh", "-c", f"{export}; printenv {' '.join(names)}"], capture_output=True, text=True, timeout=5
    )
    assert pasted.stdout.splitlines() == [*addresses.values(), "http://127.0.0.1:3100"]
    assert {"http://127.0.0.1:3100/apidocs/", "http://127.0.0.1:3100/asyncapi"} <= set(shown.split())
