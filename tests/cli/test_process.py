"""The command as a person starts it: a process of its own, with servers that are away or frozen."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.world import World
from tools.stack.ports import free_port

CHECKOUT = Path(__file__).resolve().parents[2]
FLASK = Path(sys.executable).with_name("flask")


def flask_orders(world: World, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in the checkout, where .flaskenv names the app."""
    settings = {name: value for name, value in os.environ.items() if name != "FLASK_APP"}
    return subprocess.run(
        [FLASK, "orders", *arguments],
        cwd=CHECKOUT,
        env=settings | world.environment | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def frozen() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_flask_orders_list_works_in_the_checkout(untouched: World) -> None:
    done = flask_orders(untouched, "list")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Nothing.\n", "")


def test_a_database_that_is_away_is_one_sentence(untouched: World) -> None:
    port = free_port()
    done = flask_orders(untouched, "list", DATABASE_URL=f"postgresql://user:secret@127.0.0.1:{port}/orders")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"The database orders at 127.0.0.1:{port} cannot be reached, or was lost (DATABASE_URL).\n"


def test_a_broker_that_is_away_is_one_sentence(untouched: World) -> None:
    servers = f"127.0.0.1:{free_port()}"
    done = flask_orders(untouched, "offsets", "show", KAFKA_BOOTSTRAP_SERVERS=servers)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"The broker at {servers} does not answer")


def test_frozen_servers_are_not_waited_for_without_end(untouched: World, frozen: int) -> None:
    began = time.monotonic()
    database = flask_orders(untouched, "list", DATABASE_URL=f"postgresql://user@127.0.0.1:{frozen}/orders")
    broker = flask_orders(untouched, "check", KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{frozen}")
    assert time.monotonic() - began < 20
    assert "cannot be reached" in database.stderr
    assert "were not compared with the log: The broker at" in broker.stdout
    assert (database.returncode, broker.returncode) == (1, 0)


def test_an_empty_database_is_one_sentence(untouched: World) -> None:
    untouched.query("DROP TABLE orders")
    done = flask_orders(untouched, "list")
    assert done.returncode == 1
    assert "is not at this version's schema: start the service once" in done.stderr
