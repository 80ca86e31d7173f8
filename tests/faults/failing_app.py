"""The service with fail points: this test program's own entry point, which patches the product from outside.

`gunicorn -c gunicorn.conf.py tests.faults.failing_app:app` with FAIL_POINTS=`point:probability,…` and FAIL_STRIKES, a
file to which each strike adds a line before the process kills itself; with WITHOUT=`protection` it runs without that
one (protections.py). The product has no switch for any of it.
"""

import os
import random
import signal
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer
from kafka.producer.sender import Sender
from kafka.record.default_records import DefaultRecordBatchBuilder

from app.database.batches import BatchTransaction
from app.database.lane_lease import PostgresLease
from app.kafka import clients
from app.kafka.event_topic import KafkaEventLog
from app.services import order_service
from app.services.command_service import CommandService
from app.services.order_service import utc_now
from app.utils.ids import saga_order_id
from run import app
from tests.faults.protections import take_out

__all__ = ["app"]

MAX_POLL_INTERVAL_MS = 3000
SLOW_SECONDS = 6.0

Point = Callable[[], None]


def strike(name: str, probability: float) -> None:
    """Die here, as by kill -9, with the given probability (`slow_batch`: dawdle); leave a line that tells where."""
    if random.random() < probability:
        note = os.open(os.environ["FAIL_STRIKES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(note, f"{name}\n".encode())
        os.close(note)
        if name == slow_batch.__name__:
            time.sleep(SLOW_SECONDS)
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def after_commit(point: Point) -> None:
    """A batch of commands is committed; nobody was told."""
    committed = CommandService.handle

    def handle(self: Any, batch: Any, **options: Any) -> int:
        letters = committed(self, batch, **options)
        point()
        return letters

    CommandService.handle = handle


def before_commit(point: Point) -> None:
    """A batch of commands is written, and not committed."""
    written = BatchTransaction.write

    def write(self: Any, batch: Any, effects: Any) -> None:
        written(self, batch, effects)
        point()

    BatchTransaction.write = write


def after_send(point: Point) -> None:
    """The broker has appended the records; its acknowledgement has come, but was not looked at."""
    handled = Sender._handle_produce_response

    def handle(self: Any, *arguments: Any) -> Any:
        point()
        return handled(self, *arguments)

    Sender._handle_produce_response = handle


def amid_send(point: Point) -> None:
    """A batch is with the producer: about to leave, or on its way."""
    sent = KafkaEventLog.send

    def send(self: Any, records: Any, require_valid: Point, renew: Point) -> Any:
        def require_valid_or_die() -> None:
            require_valid()
            point()

        return sent(self, records, require_valid_or_die, renew)

    KafkaEventLog.send = send


def after_acknowledgement(point: Point) -> None:
    """Every record of the batch is acknowledged; the rows are still there."""
    confirmed = PostgresLease.confirm_sent

    def confirm_sent(self: Any, ids: Any, positions: Any) -> None:
        point()
        confirmed(self, ids, positions)

    PostgresLease.confirm_sent = confirm_sent


def after_delete(point: Point) -> None:
    """The rows are deleted and the positions moved, and nothing is committed."""
    called = PostgresLease._call

    def call(self: Any, *statements: Any) -> Any:
        if statements[0][0] != self._lane.take_out:
            return called(self, *statements)
        called(self, ("BEGIN", ()), *statements)
        point()
        return called(self, ("COMMIT", ()))

    PostgresLease._call = call


def amid_read_back(point: Point) -> None:
    """A read-back has noted what it found, and its rows are still there."""
    noted = PostgresLease.note

    def note(self: Any, event_ids: Any, positions: Any) -> None:
        noted(self, event_ids, positions)
        if event_ids:
            point()

    PostgresLease.note = note


def slow_batch(point: Point) -> None:
    """A batch takes longer than the group waits for the next poll; that limit is lowered for it."""
    committed = CommandService.handle

    def handle(self: Any, batch: Any, **options: Any) -> int:
        point()
        return committed(self, batch, **options)

    CommandService.handle = handle
    vars(clients)["KafkaConsumer"] = partial(KafkaConsumer, max_poll_interval_ms=MAX_POLL_INTERVAL_MS)


POINTS: dict[str, Callable[[Point], None]] = {
    point.__name__: point
    for point in (
        after_commit,
        before_commit,
        amid_send,
        after_send,
        after_acknowledgement,
        after_delete,
        amid_read_back,
        slow_batch,
    )
}


def _arm(name: str, probability: float) -> None:
    POINTS[name](lambda: strike(name, probability))


for _part in filter(None, os.environ.get("FAIL_POINTS", "").split(",")):
    _arm(_part.partition(":")[0], float(_part.partition(":")[2]))


def _jumping_clock(offset: Path) -> None:
    """Every time that the service or one of its libraries takes is so many seconds off as the file says."""
    right = time.time

    def jumping() -> float:
        return right() + int(offset.read_text() or 0)

    def now() -> datetime:
        return datetime.fromtimestamp(jumping(), UTC)

    def new_id() -> uuid.UUID:
        return uuid.UUID(saga_order_id(uuid.uuid4().hex, int(now().timestamp() * 1000)))

    time.time = jumping
    vars(order_service)["new_id"] = new_id
    app.extensions["order_service"]._clock = now
    assert CommandService.__init__.__defaults__ == (utc_now,), "the handler of commands takes its time elsewhere"
    CommandService.__init__.__defaults__ = (now,)


def _shifted_records(offset: Path) -> None:
    """The time of every record that the producer makes is so many seconds away, as by a wrong clock."""
    append = DefaultRecordBatchBuilder.append

    def shifted(builder: Any, place: int, timestamp: int | None, *rest: Any) -> Any:
        return append(builder, place, int((time.time() + float(offset.read_text())) * 1000), *rest)

    DefaultRecordBatchBuilder.append = shifted


if os.environ.get("RECORDS_CLOCK"):
    _shifted_records(Path(os.environ["RECORDS_CLOCK"]))
if os.environ.get("CLOCK_OFFSET"):
    _jumping_clock(Path(os.environ["CLOCK_OFFSET"]))
if os.environ.get("WITHOUT"):
    take_out(os.environ["WITHOUT"])
