"""Row 41: records that the client cannot decode, that unpack to more than memory, that the dead letters refuse."""

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from kafka import KafkaProducer

from tests.faults.command_load import Message, command, publish
from tests.faults.resources import memory_of
from tests.faults.rows import row
from tests.faults.rows.broker import PARTITIONS, WAIT_SECONDS, alarmed, longest_wait
from tests.faults.rows.commands import readable
from tests.faults.trial import Trial
from tests.harness.found import await_quiet, read_topic
from tests.harness.history import OK, UNREADABLE, Operation, digest
from tests.harness.load import ORDER_DETAILS
from tests.harness.waiting import until

MIB = 1024 * 1024
LARGE = 150 * MIB
MEMORY_MIB = 200.0
SMALL_LIMIT = 100_000
TOO_LARGE = 200_000
NEIGHBOURS_SECONDS = 5.0


class RawName(str):
    """A header's name as other clients can send it: any bytes."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        """Return bytes that are not UTF-8."""
        return b"\xff\xfe"


@row(41, "records that the client cannot decode", seconds=30.0, quick=(10.0, 1))
def undecodable(trial: Trial) -> None:
    """Header names of any bytes, a batch that the disk damaged, 150 MiB in 150 KiB, letters that are too large."""
    trial.stack.limit_records(trial.stack.dead_letter_topic, SMALL_LIMIT)
    damage(trial)
    with trial.under_load():
        before = max(map(memory_of, trial.instances))
        with watched_memory(trial) as seen:
            while trial.lasts():
                strange_names(trial)
                large(trial)
                refused(trial)
                trial.pause(2.0)
        alarmed(trial, "wrong checksum")
        alarmed(trial, "MessageSizeTooLargeError")
    trial.own(f"memory {before:.0f} MiB, at most {max(seen):.0f}", max(seen) <= before + MEMORY_MIB)
    trial.stack.limit_records(trial.stack.dead_letter_topic, 16 * MIB)
    ids = "SELECT id::text FROM dead_letters WHERE sent_at IS NULL AND refusal IS NOT NULL"
    until(lambda: not trial.query("SELECT FROM dead_letters WHERE sent_at IS NULL AND refusal IS NULL"), "the others")
    trial.stack.operator("dead-letters", "retry", *[str(letter) for (letter,) in trial.query(ids)])
    await_quiet(trial.stack, WAIT_SECONDS)
    note_what_is_in_the_log(trial)
    found = trial.settle()
    truncated = [it for it in found.dead_letters if it.header("truncated")]
    lengths = {it.header("original_length") for it in truncated}
    trial.own(f"{len(truncated)} kept as their beginning, of {LARGE:,} bytes", lengths == {str(LARGE)})
    waited = longest_wait(readable(trial, found))
    trial.own(f"their neighbours waited {waited:.1f} s at the longest", waited <= NEIGHBOURS_SECONDS)


def a_create() -> Message:
    """Return a create command of a new saga."""
    saga_id = uuid.uuid4().hex
    payload = {"customer_id": "c", "saga_id": saga_id, "order_details": ORDER_DETAILS}
    return command("create_order", payload, saga_id)


def note_what_is_in_the_log(trial: Trial) -> None:
    """Add to the history, as unreadable, what nobody could send as it is in the log now."""
    for it in read_topic(trial.stack.broker.bootstrap, trial.stack.commands_topic):
        if not (it.value or b"").startswith(b"{"):
            value = {"digest": digest(it.value), "correlation_id": None}
            trial.load.history.add(Operation("publish", UNREADABLE, "in the log", value, 0.0, 0.0, OK))


def strange_names(trial: Trial) -> None:
    """Send commands with header names that are not UTF-8 to every partition: they are commands like any other."""
    with KafkaProducer(bootstrap_servers=trial.stack.broker.bootstrap) as producer:
        for partition in range(PARTITIONS):
            message = a_create()
            headers = [(RawName("x"), b"v")]
            topic = trial.stack.commands_topic
            producer.send(topic, message.value, headers=headers, partition=partition).get(timeout=WAIT_SECONDS)
            value = {"digest": digest(message.value), "correlation_id": message.correlation_id}
            trial.load.history.add(Operation("publish", message.f, message.about, value, 0.0, 0.0, OK))
            trial.strike()


def damage(trial: Trial) -> None:
    """Send a batch and change a byte of it on the broker's disk, before anybody reads it."""
    mark = uuid.uuid4().hex
    with KafkaProducer(bootstrap_servers=trial.stack.broker.bootstrap) as producer:
        producer.send(trial.stack.commands_topic, mark.encode(), partition=0).get(timeout=WAIT_SECONDS)
    write_over(trial, mark)


def write_over(trial: Trial, mark: str) -> None:
    """Change a byte of the mark on the broker's disk."""
    for log in Path(trial.stack.broker.folder / "data").glob(f"{trial.stack.commands_topic}-0/*.log"):
        place = log.read_bytes().find(mark.encode())
        if place >= 0:
            with log.open("r+b") as file:
                file.seek(place)
                file.write(b"X")
            trial.strike()


SEND_LARGE = """
import sys
from kafka import KafkaProducer
bootstrap, topic, size = sys.argv[1:]
options = {"compression_type": "gzip", "max_request_size": 2 * int(size), "max_block_ms": 60_000}
with KafkaProducer(bootstrap_servers=bootstrap, **options) as producer:
    producer.send(topic, bytes(int(size)), partition=1).get(timeout=30)
"""


def large(trial: Trial) -> None:
    """Send a record that is small on the wire only; in a process of its own, for it costs the sender a second too."""
    stack = trial.stack
    sender = [sys.executable, "-c", SEND_LARGE, stack.broker.bootstrap, stack.commands_topic, str(LARGE)]
    subprocess.run(sender, check=True, timeout=90)
    trial.strike()


def refused(trial: Trial) -> None:
    """Send garbage that the dead letter topic does not take at the moment, and garbage that it does."""
    marks = [uuid.uuid4().hex for _ in range(2)]
    garbage = [mark.encode().ljust(size, b"x") for mark, size in zip(marks, (TOO_LARGE, 100), strict=True)]
    message = Message(UNREADABLE, "", None, None, None)
    publish(trial.stack, trial.load.history, [replace(message, value=value) for value in garbage], partition=2)
    trial.strike()


@contextmanager
def watched_memory(trial: Trial) -> Iterator[list[float]]:
    """Yield a list to which the memory of the largest instance is added all the time, in MiB."""
    seen, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            seen.append(max(map(memory_of, trial.instances)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()
