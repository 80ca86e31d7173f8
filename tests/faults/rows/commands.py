"""Rows 26, 27, 28, 34: commands that nobody can read, commands that come twice, commands that another has handled."""

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import MessageSizeTooLargeError
from kafka.serializer import Serializer

from tests.faults.checker import check
from tests.faults.command_load import UNREADABLE_WAYS, Message, command, publish, unreadable
from tests.faults.http_calls import call_at_once
from tests.faults.rows import row
from tests.faults.rows.broker import PARTITIONS, WAIT_SECONDS, alarmed, longest_wait, replies
from tests.faults.trial import Trial
from tests.harness.found import Found, await_quiet, find
from tests.harness.history import OK, UNREADABLE, History, Operation, digest
from tests.harness.load import ORDER_DETAILS
from tests.harness.predecessor import leave_behind, read_rows
from tests.harness.waiting import until

LARGEST = 1_048_588 - 61 - 11  # message.max.bytes, without what surrounds the value of a record without a key
DEEP = 100_000
ALARM_WORDS = "unreadable commands in a row"
A_BURST = 200
TWINS = 100
TWIN_CREATES = 10
TWIN_UPDATES = 10
LEFT_ROWS = 1000

MORE_WAYS: tuple[Callable[[str], bytes], ...] = (
    lambda _: b"",
    lambda _: b"NaN",
    lambda _: b"null",
    lambda mark: json.dumps(mark).encode(),
    lambda mark: str(uuid.UUID(mark).int).encode(),
    lambda mark: b"\xef\xbb\xbf" + mark.encode(),
    lambda mark: f'{{"type": "cancel_order", "correlation_id": "{mark}", "payload": '.encode(),
    lambda mark: f'{{"type": "cancel_order", "correlation_id": "{mark}\xff"}}'.encode("latin-1"),
    lambda mark: f'{{"type": "cancel_order", "correlation_id": "\\ud800{mark}"}}'.encode(),
    lambda mark: f'{{"type": "cancel_order", "correlation_id": "\\u0000{mark}"}}'.encode(),
    lambda mark: json.dumps({"type": "cancel_order", "correlation_id": 8 * mark}).encode(),
    lambda mark: json.dumps({"type": ["cancel_order"], "correlation_id": mark}).encode(),
    lambda mark: f'{{"type": "cancel_order", "correlation_id": "{mark}", "deep": {33 * "["}{33 * "]"}}}'.encode(),
    lambda _: DEEP * b"[",
    lambda mark: mark.encode().ljust(LARGEST, b"x"),
    lambda mark: json.dumps({"type": "cancel_order", "correlation_id": mark}).encode().ljust(LARGEST),
)


class _BareTombstone(Serializer):
    """The producer refuses a tombstone without a key; it does not look at what its serializer makes."""

    def serialize(self, topic: str, headers: Sequence[tuple[str, bytes]], data: object) -> None:
        """Return None, whatever it is."""


@row(26, "unreadable messages of all kinds")
def all_kinds(trial: Trial) -> None:
    """Each kind with a key and without one, from an empty value to the largest that the broker takes."""
    kinds = len(UNREADABLE_WAYS) + len(MORE_WAYS)
    with trial.under_load():
        while trial.lasts():
            messages = one_of_each_kind()
            publish(trial.stack, trial.load.history, messages)
            publish_bare_tombstone(trial)
            trial.strike(len(messages) + 1)
            trial.pause(0.5)
    found = trial.settle()
    largest = max(len(it.value or b"") for it in found.dead_letters)
    trial.own(f"{trial.row.struck} of {kinds} kinds, the largest of {largest:,} bytes", largest == LARGEST)
    trial.row.require_struck(is_refused(trial, LARGEST + 1), "the broker takes larger ones")
    waited = longest_wait(readable(trial, found))
    trial.own(f"their neighbours waited {waited:.1f} s at the longest", waited <= WAIT_SECONDS)


def one_of_each_kind() -> list[Message]:
    """Return a message of every kind, with a key where it has one and without; a bare tombstone is not among them."""
    marks = iter(lambda: uuid.uuid4().hex, None)
    keyed = [unreadable(way, next(marks)) for way in range(len(UNREADABLE_WAYS))]
    bare = [replace(it, key=None) for it in keyed if it.value is not None]
    more = [Message(UNREADABLE, mark, None, None, way(mark)) for way, mark in zip(MORE_WAYS, marks, strict=False)]
    small = [replace(it, key=it.about.encode()) for it in more if len(it.value or b"") < LARGEST]
    return [*keyed, *bare, *more, *small]


def publish_bare_tombstone(trial: Trial) -> None:
    """Send a record that has neither key nor value."""
    with KafkaProducer(bootstrap_servers=trial.stack.broker.bootstrap, value_serializer=_BareTombstone()) as producer:
        producer.send(trial.stack.commands_topic, value=b"").get(timeout=WAIT_SECONDS)
    value = {"digest": digest(None), "correlation_id": None}
    trial.load.history.add(Operation("publish", UNREADABLE, "tombstone", value, 0.0, 0.0, OK))


def is_refused(trial: Trial, size: int) -> bool:
    """Tell whether the broker refuses a record whose value has this size."""
    try:
        publish(trial.stack, History(), [Message(UNREADABLE, "too large", None, None, size * b"x")])
    except MessageSizeTooLargeError:
        return True
    return False


def readable(trial: Trial, found: Found) -> Found:
    """Return what was found without the commands that are meant to be unreadable."""
    unreadable = {it.value["digest"] for it in trial.load.history.where(lambda it: it.f == UNREADABLE)}
    return replace(found, commands=[it for it in found.commands if digest(it.value) not in unreadable])


@row(27, "nothing but unreadable messages")
def nothing_else(trial: Trial) -> None:
    """HTTP goes on; the alarm rings, and ends with the first commands that can be read."""
    with trial.under_load(commands=0):
        while trial.lasts():
            ways = [trial.rng.randrange(len(UNREADABLE_WAYS)) for _ in range(A_BURST)]
            publish(trial.stack, trial.load.history, [unreadable(way, uuid.uuid4().hex) for way in ways])
            trial.strike(A_BURST)
        alarmed(trial, ALARM_WORDS)
    await_quiet(trial.stack, WAIT_SECONDS)
    with trial.load.running(trial.stack, trial.seed + 2, wishes=0, unreadable=0):
        until(lambda: not trial.stack.alarms(), "the end of the alarm")
    found = trial.settle()
    letters = len(found.dead_letters)
    trial.own(f"{letters} of {trial.row.struck} in the dead letters", letters == trial.row.struck)


@row(28, "duplicate commands", seconds=20.0, quick=(5.0, 1))
def duplicates(trial: Trial) -> None:
    """The same bytes 100 times in all partitions; one saga in other bytes; one status through both doors."""
    sagas: list[str] = []
    orders: dict[str, set[str]] = {}
    with trial.under_load():
        while trial.lasts():
            sagas += [same_bytes(trial), same_saga(trial)]
            order_id = order_of(trial, sagas[-1])
            orders[order_id] = one_status_twice(trial, order_id)
    found = trial.settle()
    made = Counter(it.saga_id for it in found.rows if it.saga_id in sagas)
    trial.own(f"{made.total()} orders of {len(sagas)} sagas", made == dict.fromkeys(sagas, 1))
    later = [it for it in found.lines if it.order_id in orders and it.kind != "created"]
    # The load finds orders in lists too, and moves some of these meanwhile: then the same status is a change again.
    moved = {it.order_id for it in later if it.correlation_id not in orders[it.order_id]}
    placed = Counter(it.order_id for it in later if it.order_id not in moved)
    alone = f"{placed.total()} changes of {len(orders) - len(moved)} orders, {len(moved)} were moved by the load"
    trial.own(alone, placed == dict.fromkeys(orders.keys() - moved, 1))
    places: dict[bytes, Counter[int]] = defaultdict(Counter)
    for it in found.commands:
        places[it.value or b""][it.partition] += 1
    everywhere = [it for it in places.values() if it.total() == TWINS and len(it) == PARTITIONS]
    trial.row.require_struck(len(everywhere) == len(orders), "the twins are not in all partitions")


def create(saga_id: str, correlation_id: str) -> Message:
    """Return a create command of the saga."""
    payload = {"customer_id": "c", "saga_id": saga_id, "order_details": ORDER_DETAILS}
    return command("create_order", payload, correlation_id)


def scattered(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with keys that scatter them over the partitions."""
    return [replace(it, key=str(number).encode()) for number, it in enumerate(messages)]


def same_bytes(trial: Trial) -> str:
    """Send one create 100 times; return its saga."""
    saga_id = uuid.uuid4().hex
    publish(trial.stack, trial.load.history, scattered(TWINS * [create(saga_id, saga_id)]))
    trial.strike(TWINS - 1)
    return saga_id


def same_saga(trial: Trial) -> str:
    """Send creates of one saga that differ in their bytes, each twice; return the saga."""
    saga_id = uuid.uuid4().hex
    twins = [create(saga_id, uuid.uuid4().hex) for _ in range(TWIN_CREATES)]
    publish(trial.stack, trial.load.history, scattered(2 * twins))
    trial.strike(2 * TWIN_CREATES - 1)
    return saga_id


def order_of(trial: Trial, saga_id: str) -> str:
    """Return the order that the saga made, as soon as it is there."""
    rows = until(lambda: trial.query("SELECT order_id FROM orders WHERE saga_id = %s", saga_id), "an order")
    return str(rows[0][0])


def one_status_twice(trial: Trial, order_id: str) -> set[str]:
    """Ask for the same status over HTTP and by commands, these twice, all at once; return the correlation ids."""
    body = {"orderId": order_id, "status": "PLACED"}
    payload = {"order_id": order_id, "status": "PLACED"}
    asked = [uuid.uuid4().hex for _ in range(TWIN_UPDATES)]
    twins = [command("update_order_status", payload, correlation_id) for correlation_id in asked]
    with ThreadPoolExecutor(1) as door:
        sent = door.submit(publish, trial.stack, trial.load.history, scattered(2 * twins))
        answers = call_at_once(trial, "update", order_id, body, [uuid.uuid4().hex for _ in range(TWIN_UPDATES)])
        sent.result()
    trial.row.require({it.status for it in answers} == {200}, f"{order_id} was answered {answers}")
    trial.strike(2 * TWIN_UPDATES + len(answers) - 1)
    return {*asked, *(correlation_id for it in answers for correlation_id in it.correlation_ids)}


@row(34, "first start in the place of another consumer", times=1000, quick=(10.0, 200))
def take_over(trial: Trial) -> None:
    """History on the topic, offsets in the group, orders in the table; and a kill -9 amid the first batches."""
    stack = trial.stack
    left = leave_behind(stack.database_url, LEFT_ROWS, "varchar")
    pending = [it for it, order in left.items() if order["orderStatus"] == "PENDING"]
    sent = [history_of(trial, partition, pending[partition::PARTITIONS]) for partition in range(PARTITIONS)]
    for partition, messages in enumerate(sent):
        publish(stack, trial.load.history, messages, partition)
    offsets = [trial.rng.randrange(len(messages) // 4, len(messages) * 3 // 4) for messages in sent]
    commit(trial, offsets)
    done = [it for messages, offset in zip(sent, offsets, strict=True) for it in messages[:offset]]
    waiting = [it for messages, offset in zip(sent, offsets, strict=True) for it in messages[offset:]]
    before = handled_by_predecessor(trial, done)
    begin_twice(trial, len(waiting))
    judge_take_over(trial, before, done, waiting)


def history_of(trial: Trial, partition: int, orders: list[str]) -> list[Message]:
    """Return the commands of a partition in a random order: creates, and one update of each order."""
    made = [create(it, it) for it in (f"saga-{partition}-{number}" for number in range(trial.times))]
    made += [command("update_order_status", {"order_id": it, "status": "CREATED"}, f"update-{it}") for it in orders]
    trial.rng.shuffle(made)
    return made


def commit(trial: Trial, offsets: Sequence[int]) -> None:
    """Leave the offsets of the consumer before in the group."""
    places = {
        TopicPartition(trial.stack.commands_topic, partition): OffsetAndMetadata(offset, "", -1)
        for partition, offset in enumerate(offsets)
    }
    servers, group = trial.stack.broker.bootstrap, trial.stack.name
    with KafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False) as consumer:
        consumer.assign(list(places))
        consumer.commit(places)


def handled_by_predecessor(trial: Trial, done: Sequence[Message]) -> dict[str, dict[str, object]]:
    """Write what these commands did into the table before; return it as it is then."""
    columns = "order_id, cust_id, order_description, food_fee, delivery_fee, delivery_location, order_status"
    trial.query(
        f"INSERT INTO orders ({columns}, saga_id, created_at, updated_at) "
        "SELECT gen_random_uuid()::text, 'c', '[]', 1, 1, 'd', 'PENDING', saga_id, now(), now() "
        "FROM unnest(%s) AS saga_id",
        [it.about for it in done if it.f == "create_order"],
    )
    updated = [it.about for it in done if it.f == "update_order_status"]
    trial.query("UPDATE orders SET order_status = 'CREATED' WHERE order_id = ANY (%s)", updated)
    return read_rows(trial.stack.database_url)


def begin_twice(trial: Trial, waiting: int) -> None:
    """Start two instances, and kill one as soon as anything is handled."""
    first, _ = trial.stack.instance(CONSUMER_BATCH="20"), trial.stack.instance(CONSUMER_BATCH="20")
    first.ready_path = "/health"
    first.start()
    until(lambda: "order_changes" in tables(trial) and trial.query("SELECT 1 FROM order_changes LIMIT 1"), "a change")
    first.kill()
    trial.strike()
    [(handled,)] = trial.query("SELECT count(*) FROM order_changes")
    trial.row.require_struck(int(str(handled)) < waiting, "all was handled before the kill")
    trial.own(f"killed after {handled} of {waiting}")
    for instance in trial.instances:
        instance.start()


def tables(trial: Trial) -> set[object]:
    """Return the names of the tables that are there."""
    return {name for (name,) in trial.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def judge_take_over(
    trial: Trial, before: dict[str, dict[str, object]], done: Sequence[Message], waiting: Sequence[Message]
) -> None:
    """Require one reply to each command that waited, none to the others, and orders that only the former changed."""
    await_quiet(trial.stack, WAIT_SECONDS)
    got = replies(trial.stack)
    again = sum(got[it.correlation_id] for it in done)
    skipped = sum(1 for it in waiting if got[it.correlation_id] == 0)
    figure = f"{len(done)} done before: {again} done again; {len(waiting)} waited: {skipped} skipped"
    trial.own(figure, again == skipped == 0)
    trial.row.require(got == dict.fromkeys((it.correlation_id for it in waiting), 1), "not one reply each", "I6")
    after = read_rows(trial.stack.database_url)
    updated = {it.about for it in waiting if it.f == "update_order_status"}
    changed = {it for it, order in before.items() if after[it] != order}
    trial.own(f"{len(changed)} orders of the predecessor were changed", changed == updated)
    made = Counter(order["sagaId"] for it, order in after.items() if it not in before)
    asked = [it.about for it in waiting if it.f == "create_order"]
    trial.own(f"{made.total()} orders were made", made == dict.fromkeys(asked, 1))
    judged = check([], find(trial.stack))
    for promise in ("I4 order", "I5 no twins"):
        trial.row.require(not judged[promise], "; ".join(judged[promise][:5]), promise.split()[0])
