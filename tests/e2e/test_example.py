"""The examples run as they stand in the documents; the orchestrator survives a kill at every line that it prints."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.harness.found import await_quiet, query, read_topic
from tests.harness.service import Instance
from tests.harness.stack import Stack
from tools.stack.broker import Broker
from tools.stack.postgres import Postgres

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "saga.py"
ORCHESTRATOR = ROOT / "docs" / "examples" / "orchestrator.py"


@pytest.mark.parametrize(("outcome", "last"), [("paid", "COMPLETED"), ("declined", "CANCELLED")])
def test_the_example_saga_comes_to_its_end(
    postgres: Postgres, broker: Broker, database_url: str, tmp_path: Path, outcome: str, last: str
) -> None:
    stack = Stack(tmp_path, postgres, broker, database_url)
    stack.create_topics()
    instance: Instance = stack.start(1)[0]
    try:
        environment = os.environ | stack.settings | {"ORDER_SERVICE": instance.url}
        done = subprocess.run(
            [sys.executable, str(EXAMPLE), outcome],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        instance.stop()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == last


def run_until_something_new(command: list[str], environment: dict[str, str], known: set[str]) -> str | None:
    """Run it, and kill -9 it at the first line that no life before has printed; return that, None when it ended."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as life:
        assert life.stdout is not None
        for line in life.stdout:
            if line not in known:
                life.kill()
                return line
        assert life.wait(60) == 0
    return None


@pytest.mark.parametrize(
    ("options", "last", "replies"),
    [
        ([], "COMPLETED", {"order.created": 1, "order.status_updated": 1, "ORDER_ACCEPTED": 1, "ORDER_COMPLETED": 1}),
        (["--declined"], "CANCELLED", {"order.created": 1, "order.cancelled": 1}),
    ],
)
def test_an_orchestrator_that_is_killed_at_each_line_ends_with_one_order_and_one_reply_a_step(
    stack: Stack, tmp_path: Path, options: list[str], last: str, replies: dict[str, int]
) -> None:
    """[K7] [K8] [H15]"""
    [instance] = stack.start(1)
    environment = os.environ | stack.settings | {"ORDER_SERVICE": instance.url}
    command = [sys.executable, str(ORCHESTRATOR), str(tmp_path / "saga.db"), *options]
    known: set[str] = set()
    while (line := run_until_something_new(command, environment, known)) is not None:
        known.add(line)
    assert last + "\n" in known
    assert len(known) >= 6
    await_quiet(stack, 20)
    events = [json.loads(record.value or b"") for record in read_topic(stack.broker.bootstrap, stack.events_topic)]
    assert Counter(event["type"] for event in events) == replies
    assert query(stack.database_url, "SELECT order_status FROM orders") == [(last,)]


FORGETS = """
import sqlite3, sys
sys.path[0] = {folder!r}
import orchestrator
orchestrator.SEND_AGAIN_SECONDS = orchestrator.ASK_ANEW_SECONDS = 0.5
journal = orchestrator.Journal({path!r})
journal.database.execute("DELETE FROM journal WHERE name = 'create ends'")
saga = orchestrator.Saga(journal)
ends = saga.consumer.end_offsets(saga.places)
kept = orchestrator.json.loads(journal.once("create begins", dict)["bytes"])
begun = orchestrator.json.dumps({{"bytes": orchestrator.json.dumps(kept),
                                 "ends": {{str(place.partition): end for place, end in ends.items()}}}})
journal.database.execute("UPDATE journal SET value = ? WHERE name = 'create begins'", (begun,))
print(orchestrator.run(journal, declined=False))
"""


def test_a_reply_that_is_no_longer_in_the_log_is_asked_for_anew(stack: Stack, tmp_path: Path) -> None:
    """[K8]"""
    [instance] = stack.start(1)
    environment = os.environ | stack.settings | {"ORDER_SERVICE": instance.url}
    path = str(tmp_path / "saga.db")
    subprocess.run([sys.executable, str(ORCHESTRATOR), path], env=environment, check=True, timeout=60)
    forgets = FORGETS.format(folder=str(ORCHESTRATOR.parent), path=path)
    subprocess.run([sys.executable, "-c", forgets], env=environment, check=True, timeout=60)
    await_quiet(stack, 20)
    events = [json.loads(record.value or b"") for record in read_topic(stack.broker.bootstrap, stack.events_topic)]
    created = [event["payload"] for event in events if event["type"] == "order.created"]
    assert [event.get("version") for event in created] == [1, None]
    assert query(stack.database_url, "SELECT count(*) FROM orders") == [(1,)]


def test_asking_an_example_for_help_sends_nothing() -> None:
    for script in (EXAMPLE, ORCHESTRATOR):
        nowhere = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
        done = subprocess.run(
            [sys.executable, str(script), "--help"], env=nowhere, capture_output=True, text=True, timeout=20, check=True
        )
        assert done.stdout.startswith("usage: ")


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 150
