"""Row 11: the broker answers with errors. Which ones, when and to what is scripted; the broker is librdkafka's mock."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaProducer
from kafka.errors import (
    CoordinatorLoadInProgressError,
    KafkaError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    NotLeaderForPartitionError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
)
from kafka.protocol.consumer.group import HeartbeatRequest, JoinGroupRequest
from kafka.protocol.producer.produce import ProduceRequest

from tests.faults.rows import row
from tests.faults.rows.database import answered_in_time
from tests.faults.trial import Trial
from tests.harness.found import await_quiet, read_topic
from tests.harness.history import OK, Operation
from tests.harness.load import ORDER_DETAILS, PATHS, Connection
from tests.harness.mock_broker import MockBroker, Script
from tests.harness.waiting import until

PASSING = (NotLeaderForPartitionError, RequestTimedOutError, NotEnoughReplicasError)
GROUP = (JoinGroupRequest, HeartbeatRequest)
MOST = 5
ALWAYS = 10**9


@row(11, "the broker answers with errors: passing ones, refusals, a record too large", limit=400)
def errors(trial: Trial) -> None:
    """Half of the time errors that pass, a quarter each the two that are waited for, then the record."""
    with mock_in_place_of_kafka(trial) as mock:
        with trial.under_load(60, 60):
            since = time.monotonic()
            passing(trial, mock)
            waited_for(trial, mock, "producing forbidden", TopicAuthorizationFailedError, ProduceRequest)
            with one_more_member(trial):
                waited_for(trial, mock, "coordinator loading", CoordinatorLoadInProgressError, *GROUP)
        await_quiet(trial.stack, 30)
        one_record_at_a_time(trial)
        with trial.load.running(trial.stack, trial.seed + 2, 20, 0):  # what one record at a time can carry away
            again = time.monotonic()
            too_large(trial, mock)
        for start in (since, again):
            trial.no_failures(start)
        answered_in_time(trial, again)
        trial.settle()


@contextmanager
def mock_in_place_of_kafka(trial: Trial) -> Iterator[MockBroker]:
    """Apache Kafka stops; all clients are told of the mock, also those of the row."""
    stack = trial.stack
    stack.broker.stop()
    kafka = stack.broker
    with MockBroker() as mock:
        stack.broker = mock  # type: ignore[assignment]  # it has what the stack asks of a broker
        stack.create_topics()
        try:
            yield mock
        finally:
            stack.kill_instances()
            stack.broker = kafka


def passing(trial: Trial, mock: MockBroker) -> None:
    """Bursts of each error that a producer outlasts by asking again."""
    give_up = time.monotonic() + trial.seconds / 2
    scripts: list[Script] = []
    while time.monotonic() < give_up:
        for error in PASSING:
            script = mock.answer(ProduceRequest, error, trial.rng.randint(1, MOST))
            scripts.append(script)
            await_given(script)
    strike(trial, "passing errors", scripts)


def await_given(script: Script) -> None:
    """Wait until the script has been played."""
    until(lambda: script.given == script.times, "requests to answer with an error")


def waited_for(trial: Trial, mock: MockBroker, what: str, error: type[KafkaError], *apis: type) -> None:
    """The error to every such request for a while; what was held up comes afterwards."""
    scripts = [mock.answer(api, error, ALWAYS) for api in apis]
    trial.pause(trial.seconds / 4)
    for script in scripts:
        script.times = 0
    strike(trial, what, scripts)
    trial.await_writes(20)


@contextmanager
def one_more_member(trial: Trial) -> Iterator[None]:
    """A third instance comes, so that the group must join anew, and leaves afterwards."""
    third = trial.stack.instance(ROLES="worker")
    third.start()
    yield
    third.stop()
    trial.instances.remove(third)


def strike(trial: Trial, what: str, scripts: list[Script]) -> None:
    """Count the errors that were given; each kind of request must have had one."""
    given = sum(script.given for script in scripts)
    trial.strike(given)
    trial.own(f"{what}: {given} errors given")
    for script in scripts:
        trial.row.require_struck(script.given > 0, f"{what}: no {script.api.__name__} was answered with it")


def one_record_at_a_time(trial: Trial) -> None:
    """The mock gives an error to a whole request: each has one record, so that only one is refused."""
    for instance in trial.instances:
        instance.terminate()
        instance.settings["RELAY_BATCH"] = "1"
        instance.start()


def too_large(trial: Trial, mock: MockBroker) -> None:
    """One record is refused for good: the relay stops there until the operator takes it out."""
    stack, cause = trial.stack, uuid.uuid4().hex
    script = mock.answer(ProduceRequest, MessageSizeTooLargeError, ALWAYS, cause.encode())
    order = ask(trial, "create", {"customer_id": "large", "order_details": ORDER_DETAILS}, uuid.uuid4().hex)
    ask(trial, "complete", {"orderId": order["order_id"]}, cause)  # nobody can change it any more
    sentences = until(lambda: [it for it in stack.alarms() if "for good" in it], "the alarm")
    [(event,)] = trial.query("SELECT id FROM outbox WHERE correlation_id = %s", cause)
    trial.own(f"alarm: {sentences[0].replace(str(event), '…')}", f" {event} " in sentences[0])
    sent = records(trial)
    trial.await_writes(20)
    until(lambda: script.given > MOST, "the relay to try again")
    trial.own(f"{records(trial) - sent} records went past it", records(trial) == sent)
    stack.operator("outbox", "take-out", str(event), "--yes", "--as", "row 11")
    until(lambda: records(trial) > sent and not stack.alarms(), "the relay to go on")
    strike(trial, "record too large", [script])
    script.times = 0
    send_by_hand(trial, cause, event)


def ask(trial: Trial, f: str, body: dict[str, object], cause: str) -> Any:
    """Send one write of the row's own under this correlation id and return its answer."""
    with Connection(trial.stack.ports) as connection:
        started = time.monotonic()
        headers = {"Idempotency-Key": cause, "X-Correlation-ID": cause}
        status, answer = connection.call("POST", PATHS[f], body, **headers) or (None, None)
    value = {"attempt": cause, "correlation_id": cause, "status": status, "answer": answer, "lost": None}
    trial.load.history.add(Operation("row", f, cause, value, started, time.monotonic(), OK))
    return answer


def records(trial: Trial) -> int:
    """Return how many records are on the events topic."""
    return len(read_topic(trial.stack.broker.bootstrap, trial.stack.events_topic))


def send_by_hand(trial: Trial, cause: str, event: int) -> None:
    """Send what was taken out, from the audit line that keeps its bytes: then nothing is missing."""
    [(data,)] = trial.query("SELECT bytes FROM operator_actions WHERE subject = %s", f"outbox {event}")
    [(order_id, event_id, version)] = trial.query(
        "SELECT order_id, change_id::text, version::text FROM order_changes WHERE correlation_id = %s", cause
    )
    headers = [("event_id", str(event_id).encode()), ("version", str(version).encode())]
    with KafkaProducer(bootstrap_servers=trial.stack.broker.bootstrap) as producer:
        sent = producer.send(trial.stack.events_topic, value=bytes(data), key=str(order_id).encode(), headers=headers)
        sent.get(timeout=20)
