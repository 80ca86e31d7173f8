"""Rows 16, 17, 19, 22, 23: connections, the server, its disk and its data come to harm."""

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg2

from tests.faults.command_load import command, publish
from tests.faults.rows import row
from tests.faults.trial import Trial
from tests.harness.found import await_quiet
from tests.harness.history import Operation
from tests.harness.load import GIVEN_UP, ORDER_DETAILS
from tests.harness.waiting import until

ANSWER_SECONDS = 4.0
FROZEN_SECONDS = 10.0
SAGAS = 60
DISK_MIB = 128
OURS = "FROM pg_stat_activity WHERE application_name = 'order-service' AND datname = current_database()"


@row(16, "PostgreSQL backends terminated")
def terminated(trial: Trial) -> None:
    """One after the other, whatever it is doing: of the pools, of the relay, of the consumer."""
    with trial.under_load():
        since = time.monotonic()
        while trial.lasts():
            trial.pause(0.3)
            ended = trial.query(f"SELECT pg_terminate_backend(pid) {OURS} ORDER BY random() LIMIT 2")
            trial.strike(sum(bool(it) for (it,) in ended))
    trial.no_failures(since, trial.row.struck)
    trial.settle()


@row(17, "PostgreSQL restarted at once (immediate)")
def restarted(trial: Trial) -> None:
    """A crash of the whole server: it recovers from its log."""
    with trial.under_load():
        since = time.monotonic()
        while trial.lasts():
            trial.pause(1.0, 3.0)
            trial.stack.postgres.stop("immediate")
            trial.strike()
            trial.await_writes(10, 503)
            trial.stack.postgres.start()
            trial.await_writes(30)
    only_503(trial, since)
    trial.settle()


@row(19, "one backend frozen; the whole server frozen for 10 s")
def frozen(trial: Trial) -> None:
    """A frozen backend ignores every time-out that the server or libpq knows."""
    with trial.under_load():
        since = time.monotonic()
        while trial.lasts():
            with one_frozen(trial):
                trial.strike()
                trial.pause(3.0)
        trial.stack.postgres.freeze()
        try:
            trial.strike()
            trial.pause(FROZEN_SECONDS)
        finally:
            trial.stack.postgres.thaw()
        trial.await_writes(30)
    answered_in_time(trial, since)
    only_503(trial, since)
    trial.settle()


@contextmanager
def one_frozen(trial: Trial) -> Iterator[None]:
    """One backend of the service is stopped while the body runs."""
    [(pid,)] = trial.query(f"SELECT pid {OURS} ORDER BY random() LIMIT 1")
    backend = psutil.Process(int(str(pid)))
    backend.suspend()
    try:
        yield
    finally:
        backend.resume()


@row(22, "PostgreSQL turns read-only; restored to a state 2 s older")
def older(trial: Trial) -> None:
    """What is lost are commands only, on orders of their own, each order's in one partition: all of it is judged."""
    with trial.under_load():
        since = time.monotonic()
        read_only(trial, "on")
        trial.strike()
        trial.await_writes(20, 503)
        trial.pause(trial.seconds / 6)
        read_only(trial, "off")
        trial.await_writes(100)
    only_503(trial, since)
    await_quiet(trial.stack, 30)
    before_loss = trial.stack.postgres.data.with_name("backup")
    trial.stack.postgres.stop("fast")
    shutil.copytree(trial.stack.postgres.data, before_loss)
    start_again(trial)
    lose(trial, before_loss)
    with trial.load.running(trial.stack, trial.seed + 2):
        trial.pause(trial.seconds / 3)
    trial.settle()


def read_only(trial: Trial, value: str) -> None:
    """Make every new transaction of the whole server read-only, or writable again."""
    trial.query(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    trial.query("SELECT pg_reload_conf()")


def lose(trial: Trial, backup: Path) -> None:
    """Have sagas carried out, take the server back to the backup, and require that all is there again as it was."""
    postgres = trial.stack.postgres
    changes = "SELECT order_id, version, change_id, to_status FROM order_changes ORDER BY order_id, version"
    kept = set(trial.query(changes))
    carry_out_sagas(trial)
    lost = set(trial.query(changes)) - kept
    postgres.stop("immediate")
    shutil.rmtree(postgres.data)
    backup.rename(postgres.data)
    start_again(trial)
    trial.strike()
    await_quiet(trial.stack, 30)
    again = lost & set(trial.query(changes))
    trial.own(f"{len(lost)} changes were lost, {len(again)} are there again as they were", lost == again)
    trial.row.require_struck(len(lost) > SAGAS, "little was lost")


def carry_out_sagas(trial: Trial) -> None:
    """Create orders and change them twice, by commands that one key keeps in one partition."""
    stack, history = trial.stack, trial.load.history
    sagas = [uuid.uuid4().hex for _ in range(SAGAS)]
    details = {"customer_id": "c", "order_details": ORDER_DETAILS}
    publish(stack, history, [command("create_order", details | {"saga_id": it}, it, it) for it in sagas])
    await_quiet(stack, 30)
    orders = dict(trial.query("SELECT saga_id, order_id FROM orders WHERE saga_id = ANY (%s)", sagas))
    for status in ("CREATED", "PLACED"):
        changes = [{"order_id": orders[saga_id], "status": status} for saga_id in sagas]
        names = [uuid.uuid4().hex for _ in sagas]
        updates = zip(changes, names, sagas, strict=True)
        publish(stack, history, [command("update_order_status", *update) for update in updates])
    await_quiet(stack, 30)


def start_again(trial: Trial) -> None:
    """Start the server and wait until every instance has found it."""
    trial.stack.postgres.start()
    for instance in trial.instances:
        until(instance.ready, "an instance that is ready")


@row(23, "disk full under PostgreSQL", limit=400)
def disk_full(trial: Trial) -> None:
    """Its data moves to a small file system of its own, which a file fills up and leaves again."""
    postgres = trial.stack.postgres
    postgres.stop("fast")
    with small_disk(postgres.data) as disk:
        trial.row.require_struck(disk is not None, "mounts are forbidden here")
        if disk is None:
            return
        postgres.start()
        with trial.under_load():
            since = time.monotonic()
            while trial.lasts():
                trial.pause(1.0)
                filler = fill(disk)
                trial.strike()
                trial.await_writes(10, 503)
                filler.unlink()
                until(lambda: postgres_answers(trial), "a server that answers")
                trial.await_writes(50)
        only_503(trial, since)
        trial.settle()
        trial.stack.kill_instances()
        postgres.stop("immediate")


@contextmanager
def small_disk(data: Path) -> Iterator[Path | None]:
    """Mount a file system in memory over the data folder, with the data in it; None where that is forbidden."""
    aside = data.with_name("aside")
    data.rename(aside)
    data.mkdir()
    owner = aside.stat()
    options = f"size={DISK_MIB}m,uid={owner.st_uid},gid={owner.st_gid},mode=0700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "faults", str(data)], check=False)
    if mounted.returncode != 0:
        yield None
        return
    try:
        shutil.copytree(aside, data, dirs_exist_ok=True, symlinks=True)
        for path in data.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid)
        yield data
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


def fill(disk: Path) -> Path:
    """Write until nothing more goes in; return the file."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65536)) == 65536:
            pass
    return filler


def postgres_answers(trial: Trial) -> bool:
    """Whether it takes connections; started again where the full disk has ended it."""
    postgres = trial.stack.postgres
    if not postgres.running:
        postgres.start()
    try:
        return bool(trial.query("SELECT 1"))
    except psycopg2.Error:
        return False


def only_503(trial: Trial, since: float) -> None:
    """Require that callers saw no other failure than 503."""
    statuses = {it.value["status"] for it in trial.operations(since) if "status" in it.value}
    trial.own(f"statuses {sorted(filter(None, statuses))}", statuses <= {None, 200, 201, 400, 404, 409, 503})
    lost = {it.value["lost"] for it in trial.operations(since) if "lost" in it.value} - {None, GIVEN_UP}
    trial.row.require(not lost, f"requests without an answer: {lost}")


def answered_in_time(trial: Trial, since: float) -> None:
    """Require every answer within the time that the contract gives."""

    def took(it: Operation) -> float:
        return it.completed - it.invoked

    slowest = max(took(it) for it in trial.operations(since) if "status" in it.value)
    trial.own(f"slowest answer {slowest:.2f} s", slowest <= ANSWER_SECONDS)
