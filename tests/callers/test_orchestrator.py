"""docs/examples/orchestrator.py as it stands there, killed at every line that it prints."""

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.callers.examples import LIVES, ORCHESTRATOR, READER, run
from tests.callers.http import order_of
from tests.harness.found import Record, query, read_topic
from tests.harness.stack import Stack
from tests.harness.waiting import until


def of_saga(service: Stack, saga_id: str) -> list[dict[str, Any]]:
    """Return the events and replies of one saga, once none of them waits for Kafka."""
    until(lambda: query(service.database_url, "SELECT count(*) FROM outbox") == [(0,)], "an empty outbox", 20)
    records: list[Record] = read_topic(service.broker.bootstrap, service.events_topic)
    return [it.body for it in records if it.body["correlation_id"].startswith(saga_id)]


def saga_of(journal: Path) -> str:
    with closing(sqlite3.connect(journal)) as database:
        return str(json.loads(database.execute("SELECT value FROM journal WHERE name = 'saga'").fetchone()[0]))


def payments_of(journal: Path) -> dict[int, int]:
    """Return how often each payment was asked for; each was made once."""
    with closing(sqlite3.connect(f"{journal}-payments")) as database:
        return dict(database.execute("SELECT cents, asked FROM payments").fetchall())


PAID = {"order.created": 1, "order.status_updated": 1}


@pytest.mark.parametrize(
    ("outcome", "last", "payment", "replies", "asked"),
    [
        ("paid", "COMPLETED", "AUTHORIZED", PAID | {"ORDER_ACCEPTED": 1, "ORDER_COMPLETED": 1}, {1700: 2}),
        ("declined", "CANCELLED", "PENDING", {"order.created": 1, "order.cancelled": 1}, {}),
        (
            "untaken",
            "CANCELLED",
            "REFUNDED",
            {"order.created": 1, "order.status_updated": 2, "order.cancelled": 1},
            {1700: 2, -1700: 2},
        ),
    ],
)
def test_a_saga_that_is_killed_at_each_line_ends_with_one_order_and_each_effect_once(
    service: Stack,
    tmp_path: Path,
    outcome: str,
    last: str,
    payment: str,
    replies: dict[str, int],
    asked: dict[int, int],
) -> None:
    """[K7] [K8] [H15]"""
    journal = tmp_path / "saga.db"
    lines = run(service, LIVES, ORCHESTRATOR, journal, outcome)
    assert lines[-1] == last
    saga_id = saga_of(journal)
    assert Counter(event["type"] for event in of_saga(service, saga_id)) == replies
    orders = query(service.database_url, "SELECT order_id FROM orders WHERE saga_id = %s", [saga_id])
    ((order_id,),) = orders
    order = order_of(service.instances[0].url, order_id)
    assert (order["orderStatus"], order["paymentStatus"], order["version"]) == (last, payment, sum(replies.values()))
    assert payments_of(journal) == asked  # it was asked again after a kill, and paid once
    assert run(service, ORCHESTRATOR, journal, outcome) == [last]


FORGETS = """
import json, sys
sys.path[0] = {folder!r}
import orchestrator
orchestrator.SEND_AGAIN_SECONDS = orchestrator.ASK_ANEW_SECONDS = 0.5
journal = orchestrator.Journal({path!r})
journal.database.execute("DELETE FROM journal WHERE name = 'create ends'")
saga = orchestrator.Saga(journal)
command = json.loads(journal.once("create begins", dict)["bytes"])
journal.replace("create begins", {{**saga._begin(command), "bytes": json.dumps(command)}})
orchestrator.Saga._can_be_gone = lambda self, begun: True
orchestrator.main([{path!r}])
"""


def test_a_reply_that_is_no_longer_in_the_log_is_asked_for_anew(service: Stack, tmp_path: Path) -> None:
    """[K8]"""
    journal = tmp_path / "saga.db"
    run(service, ORCHESTRATOR, journal)
    assert run(service, "-c", FORGETS.format(folder=str(ORCHESTRATOR.parent), path=str(journal)))[-1] == "COMPLETED"
    saga_id = saga_of(journal)
    created = [event["payload"] for event in of_saga(service, saga_id) if event["type"] == "order.created"]
    assert [event.get("version") for event in created] == [1, None]
    assert query(service.database_url, "SELECT count(*) FROM orders WHERE saga_id = %s", [saga_id]) == [(1,)]


@pytest.mark.parametrize("script", [ORCHESTRATOR, READER], ids=lambda path: path.stem)
def test_asking_an_example_for_help_does_nothing_else(script: Path) -> None:
    nowhere = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    command = [sys.executable, str(script), "--help"]
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.startswith("usage: ")
