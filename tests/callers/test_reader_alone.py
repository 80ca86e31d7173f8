"""docs/examples/reader.py with a log in memory: files that are new or restored, late copies, and answers of others."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError, OffsetOutOfRangeError

from tests.callers.answers import BROKEN, answers, http
from tests.callers.examples import EXAMPLES
from tests.callers.log import Event, Log


def change(version: int, event_type: str = "ORDER_UPDATED", event_id: str | None = None) -> Event:
    """Return the record of an order's change."""
    order = {"orderId": "o-1", "version": version}
    known = {"key": "o-1", "event_id": event_id or f"e{version}", "type": event_type, "version": version}
    return known | {"payload": {"event": json.dumps(order)}}


@pytest.fixture
def log() -> Log:
    return Log("order_events")


@pytest.fixture
def example(log: Log, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(EXAMPLES)
    module = importlib.import_module("reader")
    monkeypatch.setattr(module, "KafkaConsumer", lambda *_, **__: log)
    return module


def read(example: Any, log: Log, model: Any) -> None:
    """One life that reads up to the end."""
    log.assign([])
    example.follow(log, model, once=True)


def notices_of(model: Any) -> list[str]:
    return [event_id for (event_id,) in model.database.execute("SELECT event_id FROM notices ORDER BY 1")]


def orders_of(model: Any) -> list[tuple[str, int]]:
    return list(model.database.execute("SELECT order_id, version FROM orders"))


def test_a_new_file_reads_all_and_an_old_one_goes_on_where_it_was(
    example: Any, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.partitions[0] = [change(1), change(2)]
    old = example.Model(":memory:")
    read(example, log, old)
    log.partitions[0] += [{"type": "order.cancellation_failed", "key": "o-1"}, change(3)]
    taken: list[int] = []
    take = example.take

    def take_and_note(model: Any, record: Any) -> None:
        taken.append(record.offset)
        take(model, record)

    monkeypatch.setattr(example, "take", take_and_note)
    for model in (old, example.Model(":memory:"), old):
        read(example, log, model)
        assert (orders_of(model), notices_of(model)) == ([("o-1", 3)], ["e1", "e2", "e3"])
    assert taken == [2, 3, 0, 1, 2, 3]


def test_what_comes_late_of_a_forgotten_person_is_dropped(example: Any, log: Log) -> None:
    model = example.Model(":memory:")
    log.partitions[0] = [change(1), change(3, "ORDER_FORGOTTEN"), change(1), change(2), change(1, event_id="other")]
    read(example, log, model)
    assert (orders_of(model), notices_of(model)) == ([("o-1", 3)], [])
    log.partitions[0] += [change(4)]
    read(example, log, model)
    assert (orders_of(model), notices_of(model)) == ([("o-1", 4)], ["e4"])


def test_after_a_rebuild_versions_may_be_given_a_second_time(
    example: Any, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = example.Model(":memory:")
    log.partitions[0] = [change(3, "ORDER_FORGOTTEN")]
    read(example, log, model)
    pages = iter([[{"orderId": "o-1", "version": 1}], []])
    monkeypatch.setattr(example, "get", lambda _: {"items": next(pages)})
    example.rebuild(log, model)
    log.partitions[0] += [change(2, event_id="other")]
    read(example, log, model)
    assert (orders_of(model), notices_of(model)) == ([("o-1", 2)], ["other"])


def test_a_copy_does_not_ask_the_service(example: Any, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(example, "get", asked.append)
    log.partitions[0] = [{**change(1, "order.created"), "payload": {}}] * 2
    read(example, log, example.Model(":memory:"))
    assert asked == ["/getOrderDetails?orderId=o-1"]


def test_a_partition_that_is_added_meanwhile_is_read(example: Any, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    model, take = example.Model(":memory:"), example.take

    def take_and_add(model: Any, record: Any) -> None:
        take(model, record)
        if not log.partitions.get(1):
            log.partitions[1] = [change(2)]
            log.partitions[0] += [change(3)]
        elif record.partition == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(example, "take", take_and_add)
    log.partitions[0] = [change(1)]
    with pytest.raises(KeyboardInterrupt):
        example.follow(log, model, once=False)
    assert model.positions()[1] == 1


@pytest.mark.parametrize(
    ("error", "sentence"), [(OffsetOutOfRangeError(), "--rebuild"), (KafkaTimeoutError("nobody is there"), "nobody")]
)
def test_what_kafka_cannot_give_ends_the_program_with_a_sentence(
    example: Any, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def poll(**_: Any) -> None:
        raise error

    log.partitions[0] = [change(1)]
    monkeypatch.setattr(log, "poll", poll)
    with pytest.raises(SystemExit, match=sentence):
        example.main([str(tmp_path / "model.db")])


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_not_the_services_own_is_asked_for_again(
    example: Any, monkeypatch: pytest.MonkeyPatch, broken: bytes
) -> None:
    with answers(broken, http(200, {"orderId": "o-1"})) as url:
        monkeypatch.setattr(example, "SERVICE", url)
        assert example.get("/getOrderDetails?orderId=o-1") == {"orderId": "o-1"}


def test_an_order_is_gone_only_where_the_service_says_so(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [http(404, {"error": "No", "code": code}) for code in ("not_found", "order_not_found")]
    with answers(*gone) as url:
        monkeypatch.setattr(example, "SERVICE", url)
        assert example.get("/getOrderDetails?orderId=o-1") is None
