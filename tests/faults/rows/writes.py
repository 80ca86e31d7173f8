"""Rows 24, 25, 29: many writers on one order, a long backlog of events, one Idempotency-Key for many."""

import json
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from tests.faults.command_load import command, publish
from tests.faults.http_calls import Answered, call, call_at_once
from tests.faults.resources import memory_of
from tests.faults.rows import row
from tests.faults.rows.broker import PARTITIONS
from tests.faults.rows.database import answered_in_time, only_503
from tests.faults.rows.processes import leads
from tests.faults.trial import Trial
from tests.harness.found import row_locked
from tests.harness.history import Operation
from tests.harness.load import GIVEN_UP, ORDER_DETAILS, PATHS, Connection, HttpClient, outcome_of
from tests.harness.service import Instance
from tests.harness.waiting import until

LOCKED_SECONDS = 10.0
WRITERS = 50
WRITES_A_SECOND = 150.0
LEAST_WAITING = 2
ORDERS = 4000
FIRST_SEND_SECONDS = 2.0
BACKLOG_MIB = 100.0
EVENTS_A_SECOND = 5000.0
DRAIN_SECONDS = 420.0
STATUSES = ("CREATED", "PLACED", "ON_THE_WAY", "DELIVERED")
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
LEADS = re.compile(r"^(\S+ \S+) .*relay events leads$", re.MULTILINE)


class Writer(HttpClient):
    """A client that writes to one order only."""

    order_id: str

    def _one(self) -> None:
        self._write(self._rng.choice(("update", "update", "accept")), self.order_id)


@row(24, "a lock held 10 s on an order's row; 50 writers on one order")
def one_order(trial: Trial) -> None:
    """Over HTTP and by commands; between two locks the writers have the order for themselves."""
    trial.stack.start(2)
    order_id = an_order(trial)
    before = deadlocks(trial)
    with trial.under_load(wishes=30, commands=30):
        since = time.monotonic()
        with writers(trial, order_id):
            while trial.lasts():
                with row_locked(trial.stack.database_url, order_id):
                    publish(trial.stack, trial.load.history, updates(order_id))
                    until(lambda: count(trial, WAITING) >= LEAST_WAITING, "writers that wait for the lock")
                    trial.strike()
                    trial.pause(LOCKED_SECONDS)
                trial.await_writes(100, 200)
    answered_in_time(trial, since)
    only_503(trial, since)
    found = trial.settle()
    versions = sorted(it.version for it in found.lines if it.order_id == order_id)
    trial.own(f"{len(versions)} versions of the one order", versions == list(range(1, len(versions) + 1)))
    found_deadlocks = deadlocks(trial) - before
    trial.own(f"{found_deadlocks} deadlocks", found_deadlocks == 0)


def an_order(trial: Trial, status: str | None = "CREATED") -> str:
    """Return a new order, in the status."""
    body = {"customer_id": "c", "order_details": ORDER_DETAILS}
    made = call(trial, "create", uuid.uuid4().hex, body, uuid.uuid4().hex)
    order_id = str(made.body["order_id"])
    if status is not None:
        call(trial, "update", order_id, {"orderId": order_id, "status": status}, uuid.uuid4().hex)
    return order_id


def updates(order_id: str) -> Iterator[Any]:
    """Yield commands that change the order's status."""
    for number in range(WRITERS):
        payload = {"order_id": order_id, "status": STATUSES[number % len(STATUSES)]}
        yield command("update_order_status", payload, uuid.uuid4().hex, str(number))


def deadlocks(trial: Trial) -> int:
    """Return how many deadlocks the database has seen."""
    return count(trial, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


def count(trial: Trial, statement: str) -> int:
    """Return the one number that the statement asks for."""
    return int(str(trial.query(statement)[0][0]))


@contextmanager
def writers(trial: Trial, order_id: str) -> Iterator[None]:
    """50 clients at work on the order while the body runs."""
    load, pace = trial.load, WRITES_A_SECOND / WRITERS
    clients = [
        Writer(f"writer-{number}", trial.stack.ports, load.known, load.history, trial.seed, pace)
        for number in range(WRITERS)
    ]
    for client in clients:
        client.order_id = order_id
        client.start()
    try:
        yield
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(30)


@row(25, "1,000,000 rows of backlog", times=1000, quick=(10.0, 20), limit=600)
def backlog(trial: Trial) -> None:
    """Written while nobody relays; then one instance starts. Its events are judged here, for nobody asked for them."""
    (instance,) = trial.stack.start(1)
    instance.terminate()
    instance.start()  # the first start, which migrates, needs more memory than any other
    until(lambda: leads(instance), "a relay that leads")
    before = memory_of(instance)
    instance.terminate()
    rows = trial.times * 1000
    fill(trial, rows)
    trial.strike(rows)
    largest = drain(trial, instance, rows, before)
    trial.own(f"memory {largest - before:+.0f} MiB", largest - before <= BACKLOG_MIB)
    times = judge_events(trial, rows)
    led_at = datetime.fromisoformat(LEADS.findall(instance.log_text())[-1].replace(",", ".")).timestamp()
    first = times[0] / 1000 - led_at
    trial.own(f"first send {first:.2f} s after the relay leads", first <= FIRST_SEND_SECONDS)
    rate = rows / max((times[1] - times[0]) / 1000, 0.001)
    trial.own(f"{rate:,.0f} events a second", rate >= EVENTS_A_SECOND)


def fill(trial: Trial, rows: int) -> None:
    """Put as many events into the outbox, of ORDERS orders in turn, with bytes as the service writes them."""
    order = {"orderId": "<order>", "custId": "customer-1", "orderStatus": "PLACED", "version": 0, **ORDER_DETAILS}
    payload: dict[str, Any] = {"orderId": "<order>", "customerId": "customer-1", "runnerId": None, "status": "updated"}
    payload |= {"event": json.dumps(order), "source": "order-service", "version": 0}
    envelope = {"type": "ORDER_UPDATED", "correlation_id": "backlog", "payload": payload, "event_id": "<event>"}
    trial.query(
        "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload) "
        "SELECT event_id, order_id, 'ORDER_UPDATED', 'backlog', version, convert_to(replace(replace(replace(%s, "
        "'<event>', event_id::text), '<order>', order_id), '\"version\": 0', '\"version\": ' || version), 'UTF8') "
        "FROM (SELECT n, md5(n::text)::uuid AS event_id, md5('order' || n %% %s)::uuid::text AS order_id, "
        "n / %s + 1 AS version FROM generate_series(0, %s) AS n) AS made ORDER BY n",
        json.dumps(envelope),
        ORDERS,
        ORDERS,
        rows - 1,
    )


def drain(trial: Trial, instance: Instance, rows: int, before: float) -> float:
    """Start the instance and wait until everything is on the topic; return the most memory that it had."""
    largest = before
    instance.start()
    places = [TopicPartition(trial.stack.events_topic, partition) for partition in range(PARTITIONS)]
    with KafkaConsumer(bootstrap_servers=trial.stack.broker.bootstrap) as reader:

        def all_sent() -> bool:
            nonlocal largest
            largest = max(largest, memory_of(instance))
            time.sleep(0.2)  # the looking itself must not be what the machine is busy with
            return int(sum(reader.end_offsets(places).values())) >= rows

        until(all_sent, f"{rows} events on the topic", DRAIN_SECONDS)
    until(lambda: not trial.query("SELECT 1 FROM outbox LIMIT 1"), "an empty outbox")
    return largest


def judge_events(trial: Trial, rows: int) -> tuple[int, int]:
    """Require every event once, each order's in one partition and in order; return the first and last time in ms."""
    places = [TopicPartition(trial.stack.events_topic, partition) for partition in range(PARTITIONS)]
    last: dict[tuple[bytes, int], int] = defaultdict(int)
    ids, disordered, records, earliest, latest = set(), 0, 0, 2**62, 0
    with KafkaConsumer(
        bootstrap_servers=trial.stack.broker.bootstrap, check_crcs=False, max_poll_records=5000
    ) as reader:
        reader.assign(places)
        reader.seek_to_beginning(*places)
        give_up = time.monotonic() + DRAIN_SECONDS
        end = sum(reader.end_offsets(places).values())
        while records < end and time.monotonic() < give_up:
            for record in (it for polled in reader.poll(timeout_ms=500).values() for it in polled):
                headers = dict(record.headers)
                version, place = int(headers["version"]), (record.key, record.partition)
                disordered += version != last[place] + 1
                last[place] = version
                ids.add(headers["event_id"])
                records += 1
                earliest, latest = min(earliest, record.timestamp), max(latest, record.timestamp)
    orders = min(ORDERS, rows)
    trial.own(f"{records} records, {len(ids)} event ids, {disordered} out of order", records == len(ids) == rows)
    trial.row.require(disordered == 0 and len(last) == orders, f"{len(last)} places of {orders} orders", "I4")
    return earliest, latest


@row(29, "one Idempotency-Key for many: 50 at once, another body, a client that is gone", seconds=20.0, quick=(4.0, 1))
def one_key(trial: Trial) -> None:
    """Every POST in turn, on orders in a random status."""
    trial.stack.start(2)
    same_key(trial, "create")
    trial.measure()
    changes = twins = 0
    while trial.lasts() or twins < len(PATHS) * WRITERS:
        for f in PATHS:
            changes += same_key(trial, f)
            client_gone(trial, f)
            twins += WRITERS
    trial.settle()
    trial.own(f"{twins} calls under {twins // WRITERS} keys: {changes} changes")


def body_for(trial: Trial, f: str) -> tuple[str, dict[str, Any]]:
    """Return a new body of the call, and the order that it is about or a name."""
    if f in ("create", "create_test"):
        return uuid.uuid4().hex, {"customer_id": uuid.uuid4().hex, "order_details": ORDER_DETAILS}
    order_id = an_order(trial, trial.rng.choice((None, "CREATED", "CREATED", "CREATED", "PLACED")))
    more = {"update": {"status": "ON_THE_WAY"}, "accept": {"runner_id": uuid.uuid4().hex}}
    return order_id, {"orderId": order_id, **more.get(f, {})}


def same_key(trial: Trial, f: str) -> int:
    """Call 50 times at once under one key, then with another body; return how many changes that made: 0 or 1."""
    attempt = uuid.uuid4().hex
    key, body = body_for(trial, f)
    answers = call_at_once(trial, f, key, body, WRITERS * [attempt])
    trial.strike(WRITERS - 1)
    changes = made_by(trial, answers)
    kinds = {(it.status, json.dumps(it.body)) for it in answers}
    trial.row.require(len(kinds) == 1, f"{f}: different answers under one key: {kinds}")
    trial.row.require(changes == (answers[0].status in (200, 201)), f"{f}: {changes} changes, answers {kinds}")
    other_body(trial, f, key, body | {"note": "another"}, attempt)
    return changes


def made_by(trial: Trial, answers: Sequence[Answered]) -> int:
    """Return how many changes these calls made."""
    ids = [correlation_id for it in answers for correlation_id in it.correlation_ids]
    rows = trial.query("SELECT count(*) FROM order_changes WHERE correlation_id = ANY (%s)", ids)
    return int(str(rows[0][0]))


def other_body(trial: Trial, f: str, key: str, body: dict[str, Any], attempt: str) -> None:
    """Require 422 for another body under the key; its correlation id is nobody's in the history."""
    with Connection(trial.stack.ports, first=trial.rng.randrange(2)) as connection:
        answer = connection.call("POST", PATHS[f], body, **{"Idempotency-Key": attempt})
    trial.row.require(answer is not None and answer[0] == 422, f"{f}: another body was answered {answer}")
    trial.strike()


def client_gone(trial: Trial, f: str) -> None:
    """Hang up after the request was sent, amid it, and ask again under the key until the answer is there, twice."""
    attempt, gone = uuid.uuid4().hex, uuid.uuid4().hex
    key, body = body_for(trial, f)
    headers = {"Idempotency-Key": attempt, "X-Correlation-ID": gone}
    started = time.monotonic()
    with Connection(trial.stack.ports, first=trial.rng.randrange(2)) as connection:
        connection.give_up("POST", PATHS[f], body, **headers, **{"Content-Length": "4096"})
        connection.give_up("POST", PATHS[f], body, **headers)
    value = {"attempt": attempt, "correlation_id": gone, "status": None, "answer": None, "lost": GIVEN_UP}
    value |= {"runner": body.get("runner_id")}
    trial.load.history.add(Operation(f"gone-{key}", f, key, value, started, time.monotonic(), outcome_of(None)))
    answers = [call(trial, f, key, body, attempt, caller) for caller in range(2)]
    trial.strike(2)
    trial.row.require(answers[0].body == answers[1].body, f"{f}: {answers[0]} and then {answers[1]}")
    changes = made_by(trial, [*answers, Answered(None, None, (gone,))])
    expected = answers[0].status in (200, 201)
    trial.row.require(changes == expected, f"{f}: {changes} changes for a client that was gone, {answers[0]}")
