"""Rows 37, 38, 40, 44: a partition without a leader, a replaced log, a foreign member, topics that are gone."""

import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, cast

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from tests.faults.command_load import command
from tests.faults.rows import row
from tests.faults.rows.broker import WAIT_SECONDS, alarmed, answered, creates, replies
from tests.faults.trial import Trial
from tests.harness.cluster import Cluster
from tests.harness.found import await_quiet, query
from tests.harness.load import ORDER_DETAILS
from tests.harness.stack import Stack
from tests.harness.waiting import until

DELAY_SECONDS = 5.0
PACE_SECONDS = 0.25
ON_SECONDS = 15.0


@row(37, "one partition of each topic without a leader", seconds=60.0, limit=400.0, broker=Cluster)
def without_leader(trial: Trial) -> None:
    """The broker of single replicas is away; the commands and events of the other partitions go on."""
    stack, cluster = trial.stack, cast(Cluster, trial.stack.broker)
    stack.name += "-single"
    for topic in (stack.commands_topic, stack.events_topic, stack.dead_letter_topic):
        cluster.create_topic(topic, replication=1)
    stack.start(2)
    sent = creates(stack)
    answered(trial, "before", sent)
    broker = cluster.leader(stack.commands_topic, 0)
    broker.kill()
    until(lambda: cluster.partitions(stack.commands_topic)[0].leader is None, "a partition without a leader")
    trial.strike()
    events_before = ends(stack, with_leader(cluster, stack.events_topic))
    more, longest = keep_sending(trial, with_leader(cluster, stack.commands_topic))
    trial.own(f"longest delay of the others' commands {longest:.1f} s", longest <= DELAY_SECONDS)
    alarmed(trial, "cannot be read, its commands wait")
    left = sum(ends(stack, with_leader(cluster, stack.events_topic))) - sum(events_before)
    trial.own(f"{left} of {len(more)} replies left meanwhile: those of partitions with a leader", left > 0)
    broker.start()
    sent |= more | creates(stack)
    answered(trial, "with the broker back", sent)
    until(lambda: not any("cannot be read" in it for it in stack.alarms()), "the end of the alarm")


@row(38, "the broker's volume restored to an older copy, and written to again beyond the stored offsets")
def replaced(trial: Trial) -> None:
    """First while the service runs, then while it is stopped: what was written instead is handled, once."""
    stack = trial.stack
    stack.start(2)
    for running in (True, False):
        with older_copy(stack):
            before = creates(stack)
            answered(trial, "before", before)
            time.sleep(1.0)  # any moment will do: the service's looks fall where they fall
            if not running:
                for instance in trial.instances:
                    instance.terminate()
        trial.strike()
        instead = {it for _ in range(2) for it in creates(stack)}
        if not running:
            for instance in trial.instances:
                instance.start()
        alarmed(trial, "are gone; handling what is there now")
        await_quiet(stack, WAIT_SECONDS)
        known = replies(stack)
        times = Counter(known[saga_id] for saga_id in instead)
        trial.row.require(times == {1: len(instead)}, f"replies by command {dict(times)}, running: {running}", "I6")
        orders = trial.query("SELECT count(*), count(DISTINCT saga_id), sum(version) FROM orders")[0]
        trial.row.require(len(set(orders)) == 1, f"orders, sagas, versions: {orders}", "I1")


def join(member: KafkaConsumer) -> None:
    """Wait until the member has what the group gives it."""
    until(lambda: member.poll(timeout_ms=200) or member.assignment(), "its partitions")


def await_named(member: KafkaConsumer, stack: Stack) -> Any:
    """Return the alarm about the member, which goes on as one."""
    return until(lambda: member.poll(timeout_ms=100) is None or naming(stack), "the alarm")


@row(40, "a foreign member in the group: another assignor; the same and another subscription", limit=400.0)
def foreign_member(trial: Trial) -> None:
    """Its partitions wait and are told, and nothing is lost when it leaves."""
    stack = trial.stack
    stack.start(2)
    sent = creates(stack)
    answered(trial, "before", sent)
    subscriptions = [
        ([stack.commands_topic], {"partition_assignment_strategy": [RoundRobinPartitionAssignor]}),
        ([stack.commands_topic, stack.events_topic], {}),
        ([stack.events_topic], {}),
    ]
    for topics, options in subscriptions:
        foreign = KafkaConsumer(
            *topics,
            bootstrap_servers=stack.broker.bootstrap,
            group_id=stack.name,
            client_id="somebody-else",
            enable_auto_commit=False,
            **options,
        )
        with closing(foreign):
            join(foreign)
            trial.strike()
            more = creates(stack)
            held = {place for place in foreign.assignment() if place.topic == stack.commands_topic}
            if held:
                told = await_named(foreign, stack)
                trial.own(f"alarm: {told}")
                until(lambda: lag(stack) > 0, "a lag that is true")
        sent |= more
        answered(trial, f"after {topics}", sent)


@row(44, "the commands topic deleted, the whole cluster made anew, under a running service")
def gone(trial: Trial) -> None:
    """Made again as set, though the broker would make topics by itself; the service goes on by itself."""
    stack = trial.stack
    stack.start(2)
    answered(trial, "before", creates(stack))
    with KafkaAdminClient(bootstrap_servers=stack.broker.bootstrap) as admin:
        admin.delete_topics([stack.commands_topic])
    goes_on(trial, "the topic was deleted")
    alarmed(trial, "The topic was made anew")
    settings = stack.broker._settings
    stack.broker._settings = lambda: {
        **settings(),
        "auto.create.topics.enable": "true",
        "num.partitions": 1,
    }
    stack.broker.stop()
    shutil.rmtree(stack.broker.folder / "data")
    stack.broker.start()
    goes_on(trial, "the cluster was made anew")


def goes_on(trial: Trial, what: str) -> None:
    """Require that the topic is there again as set, and that commands are answered, within the row's figure."""
    stack, started = trial.stack, time.monotonic()
    trial.strike()
    until(lambda: partitions(stack) == 3, "the topic, as set")
    sent = creates(stack)
    until(lambda: not missing(stack, sent), "orders")
    took = time.monotonic() - started
    trial.own(f"goes on {took:.1f} s after {what}", took <= ON_SECONDS)
    answered(trial, f"after {what}", sent)


@contextmanager
def older_copy(stack: Stack) -> Iterator[None]:
    """Afterwards the broker has its data of before the body."""
    data, copy = stack.broker.folder / "data", stack.folder / "older"
    stack.broker.stop()
    shutil.copytree(data, copy)
    stack.broker.start()
    yield
    stack.broker.stop()
    shutil.rmtree(data)
    copy.rename(data)
    stack.broker.start()


def with_leader(cluster: Cluster, topic: str) -> list[TopicPartition]:
    """Return the partitions that have a leader."""
    found = cluster.partitions(topic)
    return [TopicPartition(topic, number) for number, state in sorted(found.items()) if state.leader is not None]


def ends(stack: Stack, places: Sequence[TopicPartition]) -> list[int]:
    """Return where the partitions end."""
    with KafkaConsumer(bootstrap_servers=stack.broker.bootstrap) as reader:
        found = reader.end_offsets(places)
    return [found[place] for place in places]


def keep_sending(trial: Trial, places: Sequence[TopicPartition]) -> tuple[set[str], float]:
    """Send creates to the partitions by turns while the row lasts; return them, and the longest that one waited."""
    sent: dict[str, float] = {}
    longest = 0.0
    with KafkaProducer(bootstrap_servers=trial.stack.broker.bootstrap) as producer:
        while trial.lasts():
            saga_id, place = uuid.uuid4().hex, places[len(sent) % len(places)]
            payload = {"customer_id": "c", "saga_id": saga_id, "order_details": ORDER_DETAILS}
            value = command("create_order", payload, saga_id).value
            producer.send(place.topic, value=value, partition=place.partition).get(timeout=20)
            sent[saga_id] = time.monotonic()
            trial.pause(PACE_SECONDS)
            waiting = missing(trial.stack, set(sent))
            longest = max([longest, *(time.monotonic() - sent[it] for it in waiting)])
    until(lambda: not missing(trial.stack, set(sent)), "the last orders")
    return set(sent), longest


def missing(stack: Stack, sagas: set[str]) -> set[str]:
    """Return those that have no order."""
    rows = query(stack.database_url, "SELECT saga_id FROM saga_orders WHERE saga_id = ANY (%s)", (list(sagas),))
    return sagas - {str(saga_id) for (saga_id,) in rows}


def naming(stack: Stack) -> str:
    """Return the alarm that names the foreign member, an empty text without one."""
    return next((it for it in stack.alarms() if "somebody-else" in it), "")


def lag(stack: Stack) -> float:
    """Return the lag that the instances show, of all partitions."""
    return max(instance.metric("order_commands_lag") for instance in stack.instances)


def partitions(stack: Stack) -> int:
    """Return how many partitions the commands topic has, 0 without one."""
    with KafkaAdminClient(bootstrap_servers=stack.broker.bootstrap) as admin:
        found = [it for it in admin.describe_topics() if it["name"] == stack.commands_topic]
    return len(found[0]["partitions"]) if found else 0
