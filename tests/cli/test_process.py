"""The command as a person starts it: a process of its own, with servers that are away or frozen."""

import os
import subprocess
import sys
from pathlib import Path

from tests.harness.world import World
from tools.stack.ports import free_port

CHECKOUT = Path(__file__).resolve().parents[2]
FLASK = Path(sys.executable).with_name("flask")


def start(world: World, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start it in the checkout, where .flaskenv names the app."""
    settings = {name: value for name, value in os.environ.items() if name != "FLASK_APP"}
    return subprocess.Popen(
        [FLASK, "orders", *arguments],
        cwd=CHECKOUT,
        env=settings | world.environment | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code and what was printed to both streams."""
    printed, complained = process.communicate(timeout=60)
    return process.returncode, printed, complained


def test_flask_orders_works_in_the_checkout_and_shows_where_the_broker_is_not(untouched: World) -> None:
    away = f"127.0.0.1:{free_port()}"
    listing, offsets = start(untouched, "list"), start(untouched, "offsets", "show", KAFKA_BOOTSTRAP_SERVERS=away)
    assert end(listing) == (0, "Nothing.\n", "")
    sentence = f"The broker at {away} does not answer (KAFKA_BOOTSTRAP_SERVERS, KafkaTimeoutError).\n"
    assert end(offsets) == (1, "", sentence)


def test_in_production_a_command_needs_safe_ways_and_no_authentication(untouched: World) -> None:
    settings = {"APP_ENV": "production"}
    here, far = (
        start(untouched, "list", **settings),
        start(untouched, "list", DATABASE_URL="postgresql://u:secret@db.example/orders", **settings),
    )
    assert end(here) == (0, "Nothing.\n", "")
    code, printed, complained = end(far)
    assert (code, printed, complained.strip()) == (
        1,
        "",
        "The service cannot start: DATABASE_URL must have sslmode=verify-full in production: db.example is not "
        "verified.",
    )


def test_a_frozen_broker_is_not_waited_for_without_end(untouched: World, frozen: str) -> None:
    code, printed, complained = end(start(untouched, "check", KAFKA_BOOTSTRAP_SERVERS=frozen))
    assert (code, complained) == (0, "")
    assert f"were not compared with the log: The broker at {frozen} does not answer" in printed
