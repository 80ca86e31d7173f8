"""Start, stop and stand still: the life of one process, whatever else is away."""

import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.row import Load
from tests.harness.found import await_quiet, query, read_topic
from tests.harness.load import GIVEN_UP, ORDER_DETAILS, PATHS, Connection
from tests.harness.service import CHECKOUT, Instance
from tests.harness.stack import Stack
from tests.harness.waiting import until
from tools.stack.record import is_alive

NEW_ORDER = {"customer_id": "c", "order_details": ORDER_DETAILS}
ANSWER_SECONDS = 4.0
SOON = 20.0
IMPORT_RUN = (
    "import sys, threading, run; "
    "print([thread.name for thread in threading.enumerate()], {'jwt', 'cryptography'} & sys.modules.keys())"
)


def create(instance: Instance) -> tuple[int, dict[str, object], float]:
    """Ask for an order; return status, body and the seconds that the answer took."""
    started = time.monotonic()
    with Connection([instance.port]) as connection:
        answer = connection.call("POST", "/createOrder", NEW_ORDER)
    assert answer is not None
    return *answer, time.monotonic() - started


def event_types(stack: Stack) -> list[str]:
    return [record.body["type"] for record in read_topic(stack.broker.bootstrap, stack.events_topic)]


def test_sigterm_under_load_answers_every_accepted_request_and_ends_by_itself(stack: Stack) -> None:
    instance, load = stack.start(1)[0], Load()
    with load.running(stack, seed=3, wishes=80, commands=60):
        until(lambda: len(load.history.operations) > 150, "requests", SOON)
        started = time.monotonic()
        code = instance.terminate()
        took = time.monotonic() - started
    unanswered = Counter(it.value.get("lost") for it in load.history.operations)
    assert code == 0
    assert unanswered.keys() <= {None, "ConnectionRefusedError", GIVEN_UP}
    assert took < 30
    log = instance.log_text()
    assert re.search(r"kafka_service.* stopped$", log, re.MULTILINE)
    assert "did not stop" not in log
    assert "SIGKILL" not in log


def test_a_start_without_database_and_broker_answers_and_heals_without_a_restart(stack: Stack) -> None:
    """[H1] [H2]"""
    stack.postgres.stop()
    stack.broker.kill()
    try:
        instance = stack.start(1, ready_path="/health")[0]
        assert instance.get("/readyz")[0] == 503
        status, body, seconds = create(instance)
        assert (status, body["code"], body["success"]) == (503, "database_away", False)
        assert str(body["error"]).startswith("The database is away")
        assert seconds < ANSWER_SECONDS
    finally:
        stack.postgres.start()
        stack.broker.start()
    until(lambda: instance.get("/readyz")[0] == 200, "readiness", SOON)
    assert create(instance)[0] == 201
    await_quiet(stack, 20)
    assert event_types(stack) == ["ORDER_CREATED"]


def test_roles_split_the_work_between_two_processes(stack: Stack) -> None:
    [worker] = stack.start(1, ROLES="worker")
    [api] = stack.start(1, ROLES="api")
    assert create(worker)[0] == 404
    assert worker.get("/health") == (200, '{"status":"healthy"}')
    assert worker.metric("order_relay_leader") >= 0
    assert create(api)[0] == 201
    assert "consumer" not in api.get("/readyz")[1]
    await_quiet(stack, 20)
    assert event_types(stack) == ["ORDER_CREATED"]


def test_four_workers_start_together_on_an_empty_database(stack: Stack) -> None:
    [instance] = stack.start(1, WEB_CONCURRENCY="4")
    log = instance.log_text
    until(lambda: log().count("starting Settings(") == 4, "four workers", SOON)
    until(lambda: all(instance.get("/readyz")[0] == 200 for _ in range(12)), "readiness", SOON)
    assert {create(instance)[0] for _ in range(12)} == {201}
    await_quiet(stack, 20)
    assert event_types(stack) == ["ORDER_CREATED"] * 12
    assert "Traceback" not in log()
    assert "schema failed" not in log()


def test_a_start_with_settings_that_do_nothing_any_more_says_so_and_works(stack: Stack) -> None:
    [instance] = stack.start(1, WEB_THREADS="lots", CPU_AFFINITY="one")
    assert create(instance)[0] == 201
    for name in ("WEB_THREADS", "CPU_AFFINITY"):
        assert instance.log_text().count(f"{name} no longer does anything") == 1


def test_every_request_is_answered_within_4_s_while_postgresql_is_frozen(stack: Stack) -> None:
    """[H1]"""
    [instance] = stack.start(1)
    order_id = create(instance)[1]["order_id"]
    posts = [
        ("POST", path, NEW_ORDER | {"orderId": order_id, "runner_id": "r", "status": "CREATED"})
        for path in PATHS.values()
    ]
    gets = [("GET", path, None) for path in ("/orders", f"/getOrderDetails?orderId={order_id}", "/orders/customer/c")]

    def ask(call: tuple[str, str, object]) -> tuple[int | None, float]:
        started = time.monotonic()
        with Connection([instance.port]) as connection:
            answer = connection.call(*call)
        return answer and answer[0], time.monotonic() - started

    stack.postgres.freeze()
    try:
        with ThreadPoolExecutor(24) as callers:
            answers = list(callers.map(ask, 3 * (*posts, *gets)))
    finally:
        stack.postgres.thaw()
    assert {status for status, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) < ANSWER_SECONDS
    until(lambda: create(instance)[0] == 201, "a change that is made", SOON)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "many"),
        ("DATABASE_URL", "mysql://u:secret@h/d"),
        ("KAFKA_BOOTSTRAP_SERVERS", ""),
        ("ROLES", "king"),
        ("WEB_CONCURRENCY", "two"),
    ],
)
def test_a_bad_setting_stops_the_start_with_a_sentence_that_names_it(variable: str, value: str) -> None:
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=CHECKOUT,
        env=os.environ | {variable: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"The service cannot start: {variable} must ")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_importing_run_opens_no_connection_starts_no_thread_and_loads_no_cryptography() -> None:
    """What verifies tokens takes 9 MiB; here nobody shows one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        addresses = {
            "DATABASE_URL": f"postgresql://u:p@127.0.0.1:{port}/d",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        }
        done = subprocess.run(
            [sys.executable, "-c", IMPORT_RUN],
            cwd=CHECKOUT,
            env=os.environ | addresses,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout == "['MainThread'] set()\n"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_worker_whose_master_was_killed_ends_and_lets_others_lead(stack: Stack) -> None:
    """Not an instance that nobody knows of, which goes on consuming and relaying without HTTP."""
    [instance] = stack.start(1)
    master, *workers = instance.processes()
    master.kill()
    until(lambda: not any(is_alive(worker) for worker in workers), "the end of the workers", 30.0)
    assert re.search(r"kafka_service.* stopped$", instance.log_text(), re.MULTILINE)
    [other] = stack.start(1)
    assert create(other)[0] == 201
    await_quiet(stack, 20)
    assert event_types(stack) == ["ORDER_CREATED"]


def test_kill_9_of_an_instance_leaves_no_process_and_no_session_behind(stack: Stack) -> None:
    [instance] = stack.start(1)
    tree = instance._tree()
    instance.kill()
    assert not any(map(is_alive, tree))
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    until(lambda: query(stack.database_url, sessions) == [(0,)], "the end of the sessions", SOON)
