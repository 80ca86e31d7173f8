"""Rows 8, 9, 12, 14, 15: the broker goes and comes back, the group is in unrest, the log is not as it was."""

import shutil
import time
import uuid
from collections import Counter

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

from tests.faults.checker import REPLY_TYPES
from tests.faults.command_load import command
from tests.faults.resources import measure
from tests.faults.rows import row
from tests.faults.trial import Trial
from tests.harness.found import Found, await_quiet, read_topic
from tests.harness.load import ORDER_DETAILS
from tests.harness.stack import Stack
from tests.harness.waiting import until

AWAY_MIB = 20.0
DRAINED_SECONDS = 60.0
WAIT_SECONDS = 30.0
JOIN_SECONDS = 3.0
PARTITIONS = 3
EACH = 20


@row(8, "broker killed and restarted")
def killed(trial: Trial) -> None:
    """kill -9, and a start as soon as HTTP is seen to go on without it."""
    with trial.under_load():
        since = time.monotonic()
        while trial.lasts():
            trial.pause(1.0, 3.0)
            trial.stack.broker.kill()
            trial.strike()
            trial.await_writes(100)
            trial.stack.broker.start()
    trial.no_failures(since)
    trial.settle()


@row(9, "broker away", seconds=60.0)
def away(trial: Trial) -> None:
    """HTTP goes on, the backlog grows, and drains by itself."""
    with trial.under_load(commands=0):
        since = time.monotonic()
        before = measure(trial.stack).memory
        trial.stack.broker.kill()
        trial.strike()
        while trial.lasts():
            trial.pause(0.2)
        grown = measure(trial.stack).memory - before
    trial.no_failures(since)
    backlog = trial.query("SELECT count(*) FROM outbox")[0][0]
    trial.own(f"memory {grown:+.0f} MiB while away", grown <= AWAY_MIB)
    trial.stack.broker.start()
    trial.settle(DRAINED_SECONDS)
    trial.own(f"{backlog} events drained in {trial.row.figures.get('quiet after, s', 0):.1f} s")


@row(12, "rebalance storm: a third instance joins and leaves every 3 s")
def storm(trial: Trial) -> None:
    """Each join and each leave moves partitions."""
    with trial.under_load():
        third = trial.stack.instance(ROLES="worker")
        while trial.lasts():
            third.start()
            trial.strike()
            trial.pause(JOIN_SECONDS)
            third.terminate()
            trial.strike()
            trial.pause(JOIN_SECONDS)
    third.stop()
    trial.instances.remove(third)
    waited = longest_wait(trial.settle())
    trial.own(f"longest wait of a command {waited:.1f} s", waited <= WAIT_SECONDS)


@row(14, "offsets in Kafka lost, or reset to earliest")
def group_offsets(trial: Trial) -> None:
    """While nobody is in the group; the truth is in PostgreSQL."""
    with trial.under_load():
        deleted = False
        while trial.lasts():
            trial.pause(2.0, 4.0)
            for instance in trial.instances:
                instance.terminate()
            with KafkaAdminClient(bootstrap_servers=trial.stack.broker.bootstrap) as admin:
                lose_offsets(trial, admin, delete=not deleted)
            deleted = not deleted
            trial.strike()
            for instance in trial.instances:
                instance.start()
            trial.await_writes(20)
    trial.settle()
    trial.own("0 commands done again", not trial.row.counts["I6"])


def lose_offsets(trial: Trial, admin: KafkaAdminClient, *, delete: bool) -> None:
    """Delete the group, or set its offsets to the beginning of the log."""
    group, topic = trial.stack.name, trial.stack.commands_topic
    if delete:
        admin.delete_groups([group])
        return
    places = [TopicPartition(topic, partition) for partition in range(3)]
    admin.alter_group_offsets(group, {place: OffsetAndMetadata(0, "", -1) for place in places})


@row(15, "topic made anew; records deleted by retention; log cut before the stored offset")
def log_not_as_it_was(trial: Trial) -> None:
    """One after the other; each rings its alarm, and what is sent afterwards is handled once."""
    stack = trial.stack
    stack.start(2)
    trial.measure()
    answered(trial, "before", creates(stack))
    made_anew(trial)
    deleted(trial)
    cut(trial)


def made_anew(trial: Trial) -> None:
    """The commands topic is deleted and created again under the running service."""
    stack, topic = trial.stack, trial.stack.commands_topic
    with KafkaAdminClient(bootstrap_servers=stack.broker.bootstrap) as admin:
        admin.delete_topics([topic])
        until(lambda: topic not in admin.list_topics(), "the end of the topic")
    stack.broker.create_topic(topic)
    trial.strike()
    sent = creates(stack)
    alarmed(trial, "The topic was made anew")
    answered(trial, "after the topic was made anew", sent)


def deleted(trial: Trial) -> None:
    """Retention deletes commands that were not handled, because nobody ran."""
    stack = trial.stack
    for instance in trial.instances:
        instance.terminate()
    lost = creates(stack)
    with KafkaAdminClient(bootstrap_servers=stack.broker.bootstrap) as admin:
        admin.delete_records(ends(stack))
    left = creates(stack)
    trial.strike()
    for instance in trial.instances:
        instance.start()
    alarmed(trial, "were deleted unhandled")
    answered(trial, "after retention", left)
    trial.row.require(not replies(stack).keys() & lost, "a deleted command was answered", "I6")


def cut(trial: Trial) -> None:
    """The broker comes back with an older copy of its data; every partition rests until the operator decides."""
    stack, copy = trial.stack, trial.stack.folder / "older"
    stack.broker.stop()
    shutil.copytree(stack.broker.folder / "data", copy)
    stack.broker.start()
    answered(trial, "before the cut", creates(stack))
    stack.broker.stop()
    shutil.rmtree(stack.broker.folder / "data")
    copy.rename(stack.broker.folder / "data")
    stack.broker.start()
    trial.strike()
    alarmed(trial, "before the stored offset")
    known = replies(stack)
    waiting = creates(stack)
    for place, end in ends(stack).items():
        stack.operator("offsets", "set", "--partition", str(place.partition), "--offset", str(end - EACH), "--yes")
    answered(trial, "after the operator's decision", waiting)
    records = read_topic(stack.broker.bootstrap, stack.events_topic)
    trial.row.require(
        len({it.header("event_id") for it in records}) == len(records), "an event id was used twice", "I5"
    )
    trial.row.require(not (known.keys() & waiting), "an answer came before the decision", "I6")


def creates(stack: Stack) -> set[str]:
    """Send as many creates to each partition, and return their correlation ids."""
    made = [(it % PARTITIONS, uuid.uuid4().hex) for it in range(PARTITIONS * EACH)]
    with KafkaProducer(bootstrap_servers=stack.broker.bootstrap) as producer:
        for partition, saga_id in made:
            payload = {"customer_id": "c", "saga_id": saga_id, "order_details": ORDER_DETAILS}
            value = command("create_order", payload, saga_id).value
            producer.send(stack.commands_topic, value=value, partition=partition).get(timeout=20)
    return {saga_id for _, saga_id in made}


def replies(stack: Stack) -> Counter[str | None]:
    """Return how many records there are on the events topic, by correlation id."""
    return Counter(it.body["correlation_id"] for it in read_topic(stack.broker.bootstrap, stack.events_topic))


def ends(stack: Stack) -> dict[TopicPartition, int]:
    """Return where each partition of the commands topic ends."""
    places = [TopicPartition(stack.commands_topic, partition) for partition in range(PARTITIONS)]
    with KafkaConsumer(bootstrap_servers=stack.broker.bootstrap) as reader:
        found: dict[TopicPartition, int] = reader.end_offsets(places)
    return found


def alarmed(trial: Trial, words: str) -> None:
    """Require the alarm, and note it."""
    sentences = until(lambda: [it for it in trial.stack.alarms() if words in it], f"the alarm: {words}")
    trial.own(f"alarm: {sentences[0]}")


def answered(trial: Trial, when: str, sent: set[str]) -> None:
    """Require exactly one reply to each."""
    await_quiet(trial.stack, WAIT_SECONDS)
    got = replies(trial.stack)
    times = Counter(got[saga_id] for saga_id in sent)
    trial.row.require(times == {1: len(sent)}, f"{when}: replies by command {dict(times)}", "I6")


def longest_wait(found: Found) -> float:
    """Return the longest time in seconds from a command to its reply."""
    sent: dict[str, int] = {}
    for record in found.commands:
        if record.header("correlation_id") is None and record.value and record.value[:1] == b"{":
            sent.setdefault(record.body.get("correlation_id", ""), record.timestamp)
    waits = [
        it.timestamp - sent[it.body["correlation_id"]]
        for it in found.events
        if it.body["type"] in REPLY_TYPES and it.body["correlation_id"] in sent
    ]
    return max(waits) / 1000
