"""docs/examples/orchestrator.py with a log in memory: what a broker and the service do once in a blue moon."""

import importlib
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from tests.callers.answers import BROKEN, answers, http
from tests.callers.examples import EXAMPLES
from tests.callers.log import Event, Log

TYPES = {
    "create_order": "order.created",
    "update_order_status": "order.status_updated",
    "cancel_order": "order.cancelled",
}
PAID = {"order_id": "o-1", "status": "CREATED", "payment_status": "AUTHORIZED"}


def reply_to(command: Event, **payload: Any) -> Event:
    told = {"order_id": "o-1", **payload}
    return {"type": TYPES[command["type"]], "correlation_id": command["correlation_id"], "payload": told}


def refusal_of(command: Event, code: str) -> Event:
    return reply_to(command, error=f"no: {code}", code=code)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, which waits for hundredths of its seconds."""
    monkeypatch.syspath_prepend(EXAMPLES)
    module = importlib.import_module("orchestrator")
    for name in ("SEND_AGAIN_SECONDS", "ASK_ANEW_SECONDS", "PATIENCE_SECONDS"):
        monkeypatch.setattr(module, name, getattr(module, name) / 100)
    return module


@pytest.fixture
def log(example: Any, monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log(example.EVENTS, lambda command: [reply_to(command)])
    monkeypatch.setattr(example, "KafkaConsumer", lambda **_: made)
    monkeypatch.setattr(example, "KafkaProducer", lambda **_: made)
    return made


@pytest.fixture
def saga(example: Any, log: Log) -> Any:
    return example.Saga(example.Journal(":memory:"))


def test_however_long_a_reply_takes_the_command_stays_the_same(saga: Any, log: Log) -> None:
    log.answer = lambda command: []
    with pytest.raises(TimeoutError):
        saga.command("paid", "update_order_status", PAID)
    assert len(log.sent) > 10
    assert len(set(log.sent)) == 1


def test_a_reply_that_can_be_gone_from_the_log_is_asked_for_anew_once(saga: Any, log: Log) -> None:
    log.partitions[0] = [{}] * 3
    saga.journal.once(
        "create begins", lambda: saga._begin({"type": "create_order", "correlation_id": "c", "payload": {}})
    )
    log.partitions[0] += [{}] * 3
    log.beginnings[0] = 5
    log.answer = lambda command: [reply_to(command)] if command["correlation_id"] != "c" else []
    assert saga.command("create", "create_order", {})["order_id"] == "o-1"
    assert [command["correlation_id"] for command in log.commands()] == ["c", "c:again"]


@pytest.mark.parametrize(("shown", "commands"), [("AUTHORIZED", 1), ("PENDING", 2)])
def test_what_the_order_shows_to_be_done_is_not_asked_for_anew(
    saga: Any, log: Log, example: Any, monkeypatch: pytest.MonkeyPatch, shown: str, commands: int
) -> None:
    """A runner has taken it meanwhile, and another command would take it from the runner."""
    log.answer = lambda command: [reply_to(command)] if command["correlation_id"].endswith(":again") else []
    first = {"type": "update_order_status", "correlation_id": "c", "payload": PAID}
    saga.journal.once("paid begins", lambda: saga._begin(first))
    log.partitions[0], log.beginnings[0] = [{}] * 3, 2
    with answers(http(200, {"orderStatus": "ACCEPTED", "paymentStatus": shown})) as url:
        monkeypatch.setattr(example, "SERVICE", url)
        assert saga.command("paid", "update_order_status", PAID)["order_id"] == "o-1"
    assert len(log.commands()) == commands


def run(example: Any, folder: Path) -> str:
    """One life of a saga whose order nobody takes."""
    journal = str(folder / "saga.db")
    return str(example.run(example.Journal(journal), example.Payments(f"{journal}-payments"), "untaken"))


def paid(folder: Path) -> int:
    """Return how many cents the card has paid in the end."""
    with closing(sqlite3.connect(folder / "saga.db-payments")) as database:
        return int(database.execute("SELECT sum(cents) FROM payments").fetchone()[0])


def test_a_cancel_that_met_a_fault_of_the_service_is_asked_for_again_by_the_next_life(
    example: Any, log: Log, tmp_path: Path
) -> None:
    def answer(command: Event) -> Iterable[Event]:
        is_first = command["correlation_id"].endswith(":cancel")
        return [refusal_of(command, "internal_error") if is_first else reply_to(command)]

    log.answer = answer
    with pytest.raises(example.ServiceFault, match="operators"):
        run(example, tmp_path)
    assert paid(tmp_path) == 1700
    assert run(example, tmp_path) == "CANCELLED"
    assert paid(tmp_path) == 0


def test_the_money_goes_back_where_the_order_is_no_longer_there(example: Any, log: Log, tmp_path: Path) -> None:
    def answer(command: Event) -> Iterable[Event]:
        is_gone = command["type"] != "create_order"
        return [refusal_of(command, "order_not_found") if is_gone else reply_to(command)]

    log.answer = answer
    assert run(example, tmp_path) == "GONE"
    assert paid(tmp_path) == 0


def test_a_reply_in_a_partition_that_was_added_meanwhile_is_found(saga: Any, log: Log) -> None:
    def answer(command: Event) -> Iterable[Event]:
        log.partitions[1] = [reply_to(command)]
        return []

    log.answer = answer
    assert saga.command("create", "create_order", {})["order_id"] == "o-1"


def test_a_topic_without_partitions_is_no_place_to_begin(saga: Any, log: Log) -> None:
    log.partitions.clear()
    with pytest.raises(TimeoutError, match="no partition"):
        saga.command("create", "create_order", {})
    assert log.sent == []


def test_a_send_that_fails_is_repeated(saga: Any, log: Log) -> None:
    def answer(command: Event) -> Iterable[Event]:
        log.answer = lambda command: [reply_to(command)]
        log.sent.clear()
        raise KafkaTimeoutError("not acknowledged")

    log.answer = answer
    assert saga.command("create", "create_order", {})["order_id"] == "o-1"


def test_a_broker_that_is_away_ends_the_program_with_a_sentence(
    example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: Any) -> None:
        raise KafkaTimeoutError("nobody is there")

    monkeypatch.setattr(example, "KafkaConsumer", away)
    with pytest.raises(SystemExit, match="nobody is there"):
        example.main([str(tmp_path / "saga.db")])


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_not_the_services_own_is_asked_for_again(
    example: Any, saga: Any, monkeypatch: pytest.MonkeyPatch, broken: bytes
) -> None:
    with answers(broken, http(200, {"success": True})) as url:
        monkeypatch.setattr(example, "SERVICE", url)
        assert saga.call("accept", "/verifyAndAcceptOrder", {}) == {"success": True}
