"""python -m tests.faults.shown: break eleven things, one after the other, and see how soon the console shows each.

Two instances run on PostgreSQL and Apache Kafka of their own. One of them is looked at: its status strip is asked every
50 ms from the moment when something breaks. Then `flask orders why` explains what waits, the thing is mended, and the
strip is asked until all is good. CONSOLE_SHOTS=folder takes a picture of a page while each thing is broken.
"""

import argparse
import html
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from kafka import KafkaConsumer, TopicPartition
from playwright.sync_api import Page

from tests.browser.looks import DESK, SHOTS, chromium, shot
from tests.faults.command_load import command, publish, unreadable
from tests.faults.rows.database import fill, small_disk
from tests.faults.rows.starts import set_clock
from tests.harness.found import await_quiet, query, row_locked
from tests.harness.history import History
from tests.harness.load import ORDER_DETAILS, Connection
from tests.harness.service import CHECKOUT
from tests.harness.stack import Stack, new_stack
from tests.harness.stopping import stop_in_order
from tests.harness.waiting import until
from tools.sections import markdown_table, when_and_where, write_section

DOCUMENT = CHECKOUT / "docs" / "console.md"
SHOWN_SECONDS = 30.0
MENDED_SECONDS = 60.0
HANDLED_SECONDS = 0.5  # a command is by then, unless the frozen instance has its partition
UNREADABLE = 150
CLOCK_AHEAD_SECONDS = 7200
POISON = """
CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''it cannot be''; END';
CREATE TRIGGER poison BEFORE INSERT ON orders FOR EACH ROW WHEN (new.cust_id = 'poison') EXECUTE FUNCTION fail();
"""
HEAD = ["what is broken", "shown after, s", "the strip says", "`why` says", "good again after, s"]

_LIGHT = re.compile(r'<li class="(\w+)"><b>([\w ]+)</b> <span>([^<]*)</span>')
_CAUSE = re.compile(r'<p class="cause \w+"><b>(\w+):</b> ([^<]*)')


class Scene:
    """The stack with its two instances: the console of the second is looked at."""

    def __init__(self, stack: Stack, clock: Path, page: Page | None) -> None:
        self.stack, self.clock, self.page, self.history = stack, clock, page, History()
        self.other, self.watched = stack.instances

    def order(self) -> str:
        """Have an order made; return its id."""
        status, answer = self.create()
        assert status == 201, answer
        return str(answer["order_id"])

    def create(self) -> tuple[int, Any]:
        """Ask for an order; return status and body of the answer."""
        with Connection([self.watched.port]) as connection:
            answer = connection.call("POST", "/createOrder", {"customer_id": "c", "order_details": ORDER_DETAILS})
        assert answer is not None
        return answer

    def command(self, order_id: str | None = None, partition: int | None = None, customer: str = "customer-1") -> str:
        """Send a command, a create unless there is an order to cancel; return its correlation id."""
        name = f"saga-{uuid.uuid4().hex[:8]}"
        order: dict[str, Any] = {"customer_id": customer, "saga_id": name, "order_details": ORDER_DETAILS}
        sent = command("create_order", order, name)
        if order_id is not None:
            sent = command("cancel_order", {"order_id": order_id}, name, order_id)
        publish(self.stack, self.history, [sent], partition)
        return name

    def unreadable(self, count: int) -> str:
        """Send so many commands that nobody can read; return the place of the last."""
        return publish(self.stack, self.history, [unreadable(0, uuid.uuid4().hex) for _ in range(count)], 0)[-1]

    def is_handled(self, name: str) -> bool:
        """Whether the order of a command is there."""
        return bool(query(self.stack.database_url, "SELECT FROM orders WHERE saga_id = %s", [name]))

    def strip(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the words of the lights that are not good, and the causes, by the name of the light."""
        page = self.watched.get("/console/strip")[1]
        bad = {name: word for level, name, word in _LIGHT.findall(page) if level != "good"}
        return bad, {name.lower(): html.unescape(said.strip()) for name, said in _CAUSE.findall(page)}

    def await_light(self, name: str, began: float) -> tuple[str, str]:
        """Return after how many seconds the light has a cause, and the cause; after SHOWN_SECONDS that it has none."""
        if not name:
            return "-", ""
        try:
            said = until(lambda: self.strip()[1].get(name), f"the light {name}", SHOWN_SECONDS)
        except TimeoutError:
            return "not shown", ""
        return f"{time.monotonic() - began:.1f}", said

    def why(self, some_id: str) -> str:
        """Return the sentence that `flask orders why` marks as the cause, or its last one."""
        lines = self.stack.operator("why", some_id).splitlines()
        checks = [line for line in lines if re.match(r"(CAUSE|ok|\?) ", line)]
        return next((line for line in checks if line.startswith("CAUSE")), checks[-1]).split(": ", 1)[1]

    def shot(self, name: str, path: str) -> None:
        """Take pictures of a page of the console, if there is a browser."""
        if self.page is not None:
            self.page.goto(f"{self.watched.url}/console{path}")
            shot(self.page, name)


Broken = Iterator[str]
"""A breakage breaks something, yields an id for `why`, and mends what it broke."""


@dataclass(frozen=True, slots=True)
class Breakage:
    """`light`: which of the strip's turns bad, empty where it is another's trouble that only `why` tells; `page`: what
    the picture shows."""

    name: str
    light: str
    page: str
    broken: Callable[[Scene], AbstractContextManager[str]]


@contextmanager
def broker_stopped(scene: Scene) -> Broken:
    scene.stack.broker.kill()
    yield scene.order()
    scene.stack.broker.start()


@contextmanager
def consumer_frozen(scene: Scene) -> Broken:
    scene.other.freeze()
    sent = [scene.command(partition=partition) for partition in range(3)]
    time.sleep(HANDLED_SECONDS)
    yield next(name for name in sent if not scene.is_handled(name))
    scene.other.thaw()


@contextmanager
def poison_batch(scene: Scene) -> Broken:
    yield scene.unreadable(UNREADABLE)
    for partition in range(3):  # the next readable command of its consumer ends it
        scene.command(partition=partition)


@contextmanager
def poison(scene: Scene) -> Broken:
    query(scene.stack.database_url, POISON)
    yield scene.command(customer="poison")
    query(scene.stack.database_url, "DROP TRIGGER poison ON orders")


@contextmanager
def event_refused(scene: Scene) -> Broken:
    scene.stack.limit_records(scene.stack.events_topic, 100)
    yield scene.order()
    scene.stack.limit_records(scene.stack.events_topic, 1024 * 1024)


@contextmanager
def row_is_locked(scene: Scene) -> Broken:
    order_id = scene.order()
    with row_locked(scene.stack.database_url, order_id):
        scene.command(order_id)
        yield order_id


@contextmanager
def snapshot_held(scene: Scene) -> Broken:
    with closing(psycopg2.connect(scene.stack.database_url, application_name="report")) as connection:
        connection.set_session(isolation_level="REPEATABLE READ")
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM orders")
            yield scene.command()


@contextmanager
def reader_stands_still(scene: Scene) -> Broken:
    servers = scene.stack.broker.bootstrap
    with KafkaConsumer(bootstrap_servers=servers, group_id="orchestrator", enable_auto_commit=False) as reader:
        places = [TopicPartition(scene.stack.events_topic, partition) for partition in range(3)]
        reader.assign(places)
        for place, end in reader.end_offsets(places).items():
            reader.seek(place, end)
        reader.commit()
        yield scene.command()


@contextmanager
def disk_full(scene: Scene) -> Broken:
    filler = fill(scene.stack.postgres.data)
    until(lambda: scene.create()[0] == 503, "a write that finds no room")
    yield scene.command()
    filler.unlink()
    if not scene.stack.postgres.running:
        scene.stack.postgres.start()


@contextmanager
def clock_ahead(scene: Scene) -> Broken:
    """The broker gives the events its own time; dead letters have that of the service."""
    set_clock(scene.clock, CLOCK_AHEAD_SECONDS)
    yield scene.unreadable(1)
    set_clock(scene.clock, 0)


@contextmanager
def instance_killed(scene: Scene) -> Broken:
    scene.other.kill()
    yield scene.order()
    scene.other.start()


BREAKAGES = (
    Breakage("broker stopped", "broker", "/outbox", broker_stopped),
    Breakage("instance with its consumer frozen", "instances", "/instances", consumer_frozen),
    Breakage(f"{UNREADABLE} unreadable commands", "consumer", "/commands", poison_batch),
    Breakage("command that PostgreSQL refuses", "consumer", "/waits", poison),
    Breakage("event that Kafka refuses", "relay", "/outbox", event_refused),
    Breakage("row locked", "database", "/database", row_is_locked),
    Breakage("report that holds a snapshot", "database", "/database", snapshot_held),
    Breakage("reader of the replies stands still", "", "/why/{}", reader_stands_still),
    Breakage("clock two hours ahead", "relay", "/outbox", clock_ahead),
    Breakage("instance killed", "instances", "/instances", instance_killed),
    Breakage("disk full", "database", "/database", disk_full),
)


def carry_out(scene: Scene, breakage: Breakage) -> list[str]:
    """Break it, and return its row of the table. Raises TimeoutError where it is never shown, or stays."""
    until(lambda: not scene.strip()[0], "a strip where all is good", MENDED_SECONDS)
    await_quiet(scene.stack, MENDED_SECONDS)
    print(f"{breakage.name} …", file=sys.stderr, flush=True)
    with ExitStack() as mending:
        began = time.monotonic()
        some_id = mending.enter_context(breakage.broken(scene))
        shown, said = scene.await_light(breakage.light, began)
        why = scene.why(some_id)
        scene.shot(breakage.name.replace(" ", "-"), breakage.page.format(some_id))
        mended = time.monotonic()
    until(lambda: not scene.strip()[0], f"the end of: {breakage.name}", MENDED_SECONDS)
    return [breakage.name, shown, said, why, f"{time.monotonic() - mended:.1f}"]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.shown", description=__doc__)
    parser.add_argument("--only", default="", help="part of the name of a breakage")
    parser.add_argument("--write", action="store_true", help="write the table to docs/console.md")
    stop_in_order()
    options = parser.parse_args()
    with ExitStack() as ending:
        page = None
        if os.environ.get(SHOTS):
            page = ending.enter_context(chromium()).new_page(viewport=DESK)  # type: ignore[arg-type]
        stack = ending.enter_context(new_stack())
        stack.postgres.stop("fast")
        disk = ending.enter_context(small_disk(stack.postgres.data))
        assert disk is not None, "mounts are forbidden here: no disk can be full"
        stack.postgres.start()
        ending.callback(stack.postgres.kill)
        clock = stack.folder / "clock"
        set_clock(clock, 0)
        stack.wsgi, stack.added = "tests.faults.failing_app:app", {"RECORDS_CLOCK": str(clock), "CONSOLE": "ro"}
        stack.added |= {"KAFKA_SESSION_TIMEOUT_MS": "10000"}  # as it is by default: the fault rows have a shorter one
        stack.start(2)
        ending.callback(stack.kill_instances)
        scene = Scene(stack, clock, page)
        scene.order()
        rows = [carry_out(scene, breakage) for breakage in BREAKAGES if options.only in breakage.name]
    lines = [f"{when_and_where()}.", "", *markdown_table(HEAD, rows)]
    print("\n".join(lines))
    if options.write:
        write_section(DOCUMENT, "shown", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
