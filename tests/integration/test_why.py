"""`why`: for each cause that can be made, the first check that fails names it, with what heals it."""

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata
from kafka.admin import ACL, ACLFilter, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from app import create_app
from app.database.database import Database
from app.database.http_refusals import RefusalTable
from app.database.pool import Pool
from app.models.operator_errors import NotPossible
from app.operations import outbox_rows, why_case, why_commands, why_facts, why_ground, why_readers
from app.operations.why import Check, Why, why
from app.operations.why_case import Case
from app.services import command_service
from tests.harness.builders import Caller, create_body, unique
from tests.harness.found import row_locked
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_command, a_create, an_update, patiently, wait_for
from tools.stack.ports import free_port

CHECK_SECONDS = 4.0
"""Each check has 2 s; the rest is for a busy machine."""


@pytest.fixture
def in_time() -> None:
    """Asked for by tests of the deadlines themselves."""


@pytest.fixture(autouse=True)
def _patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that has much else to do, a check is not to give up."""
    if "in_time" in request.fixturenames:
        return
    monkeypatch.setattr(why_case, "CHECK_SECONDS", 20.0)
    monkeypatch.setattr(why_case, "ALL_SECONDS", 60.0)
    monkeypatch.setattr(why_facts, "SECONDS", 10)
    for module in (why_ground, why_commands, why_readers):
        monkeypatch.setattr(module, "ASK_SECONDS", 10.0)


def place(world: World, offset: int, partition: int = 0) -> str:
    return f"{world.commands}/{partition}/{offset}"


def cause(world: World, some_id: str, **environment: str) -> Check:
    found = why(world.settings(**environment), some_id)
    assert found.cause is not None, [check.says for check in found.checks]
    assert found.checks[-1] is found.cause, "checks behind the first that fails are not asked"
    return found.cause


def check(found: Why, name: str) -> Check:
    asked = {check.name: check for check in found.checks}
    assert name in asked, found.checks
    return asked[name]


def quietly(world: World) -> Caller:
    """A caller of the service over HTTP, whose threads do not run: nothing consumes and nothing relays."""
    return Caller(create_app(world.settings()).test_client())


@pytest.fixture
def frozen() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        yield f"{host}:{port}"


# The ground


def test_a_database_that_is_away(untouched: World) -> None:
    url = f"postgresql://user:secret@127.0.0.1:{free_port()}/orders"
    found = cause(untouched, "order-1", DATABASE_URL=url)
    assert (found.name, found.heals) == ("database", "flask orders database")
    assert "nobody listens at its address" in found.says
    assert "secret" not in found.says


def test_a_database_that_takes_no_changes(world: World) -> None:
    name = world.query("SELECT current_database()")[0][0]
    world.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert cause(world, "order-1").says == "PostgreSQL takes no changes: default_transaction_read_only is on."


@pytest.mark.usefixtures("in_time")
def test_a_table_that_somebody_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(why_ground, "HELD_SECONDS", 0.0)
    with closing(psycopg2.connect(world.database_url, application_name="a migration")) as holder:
        holder.cursor().execute("LOCK TABLE orders")
        began = time.monotonic()
        found = cause(world, "order-1")
        assert time.monotonic() - began < CHECK_SECONDS
        assert (found.name, found.heals) == ("tables", f"SELECT pg_terminate_backend({holder.info.backend_pid})")
    assert "Table orders is locked (AccessExclusiveLock) by session" in found.says
    assert "(a migration, idle in transaction)" in found.says


def test_a_row_that_somebody_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = quietly(world).create()
    monkeypatch.setattr(why_ground, "HELD_SECONDS", 0.0)
    lock = "SELECT 1 FROM orders WHERE order_id = %s FOR UPDATE"
    with (
        closing(psycopg2.connect(world.database_url, application_name="a person")) as holder,
        closing(psycopg2.connect(world.database_url, async_=True)) as waiter,
    ):
        holder.cursor().execute(lock, (order_id,))
        wait_for(lambda: waiter.poll() == 0, "a connection")
        waiter.cursor().execute(lock, (order_id,))
        wait_for(lambda: cause(world, order_id).says.endswith("1 session behind it."), "the waiter")
        found = cause(world, order_id)
        assert (found.name, found.heals) == ("row", f"SELECT pg_terminate_backend({holder.info.backend_pid})")
        assert f"The row of order {order_id} has been locked for" in found.says
        assert "(a person, idle in transaction)" in found.says
        world.query(found.heals or "")
        wait_for(lambda: check(why(world.settings(), order_id), "row").ok, "its end")


def test_a_row_that_a_prepared_transaction_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = quietly(world).create()
    monkeypatch.setattr(why_ground, "HELD_SECONDS", 0.0)
    with closing(psycopg2.connect(world.database_url)) as other:
        other.tpc_begin(other.xid(0, uuid.uuid4().hex, ""))
        other.cursor().execute("UPDATE orders SET cancel_reason = 'x' WHERE order_id = %s", (order_id,))
        other.tpc_prepare()
        found = cause(world, order_id)
        assert found.name == "row"
        assert "has been locked for" in found.says
        world.query(found.heals or "")
    assert check(why(world.settings(), order_id), "row").ok


def test_a_key_whose_first_request_waits_for_a_row(world: World) -> None:
    app = create_app(world.settings())
    caller, key = Caller(app.test_client()), unique("key")
    order_id = caller.new("CREATED")
    with row_locked(world.database_url, order_id):
        body = {"orderId": order_id, "runner_id": "runner-1"}
        request = threading.Thread(
            target=caller.post, args=("/verifyAndAcceptOrder", body), kwargs={"Idempotency_Key": key}
        )
        request.start()
        wait_for(lambda: why(world.settings(), key).cause, "the request", 2)
        found = why(world.settings(), key).cause
        request.join()
    assert found is not None
    assert found.name == "key"
    assert "A request to /verifyAndAcceptOrder with this key is at work: session" in found.says
    assert "waits for a lock that session" in found.says
    assert (found.heals or "").startswith("SELECT pg_terminate_backend(")
    app.extensions["refusals"].store(RefusalTable(Pool(Database(world.database_url), 1)))
    found = cause(world, key)
    assert (found.name, found.says[:52]) == ("decided", "/verifyAndAcceptOrder was answered 503 database_busy")
    assert "the next move is the caller's" in found.says
    (seen,) = check(why(world.settings(), key), "key").evidence
    assert seen.startswith("/verifyAndAcceptOrder was answered 503 database_busy 1 time, the last ")
    (seen,) = check(why(world.settings(), order_id), "row").evidence
    assert "503 database_busy" in seen


@pytest.mark.usefixtures("in_time")
def test_a_broker_where_nobody_listens(world: World) -> None:
    servers = f"127.0.0.1:{free_port()}"
    began = time.monotonic()
    found = cause(world, "order-1", KAFKA_BOOTSTRAP_SERVERS=servers)
    assert time.monotonic() - began < CHECK_SECONDS
    assert found.name == "broker"
    assert f"KAFKA_BOOTSTRAP_SERVERS={servers}" in (found.heals or "")


@pytest.mark.usefixtures("in_time")
def test_servers_that_take_connections_and_say_nothing_are_given_up_in_time(world: World, frozen: str) -> None:
    for environment in ({"DATABASE_URL": f"postgresql://user@{frozen}/orders"}, {"KAFKA_BOOTSTRAP_SERVERS": frozen}):
        began = time.monotonic()
        assert cause(world, "order-1", **environment).name == (
            "database" if "DATABASE_URL" in environment else "broker"
        )
        assert time.monotonic() - began < CHECK_SECONDS


def test_a_topic_that_is_missing(untouched: World) -> None:
    found = cause(untouched, "order-1")
    assert found.says == f"Kafka answers, but the topic {untouched.commands} is missing."


# On the way to us


@pytest.fixture
def handled(running: World) -> World:
    """A command of partition 0 was handled; the service is stopped."""
    running.ask(a_create(), partition=0)
    running.stop()
    return running


def test_a_topic_that_was_made_anew(handled: World) -> None:
    handled.wire.admin.delete_topics([handled.commands])
    wait_for(lambda: handled.commands not in handled.wire.admin.list_topics(), "the deletion")
    handled.wire.create_topics(handled.commands)
    handled.send(a_create(), partition=0)
    found = cause(handled, place(handled, 0))
    assert found.name == "topic"
    assert found.says == "Partition 0: The topic was made anew; handling it from its beginning."
    assert "Running instances go on by themselves" in (found.heals or "")


def test_an_offset_beyond_the_log(handled: World) -> None:
    handled.query("UPDATE consumer_offsets SET next_offset = 9 WHERE partition = 0")
    found = cause(handled, "saga-nobody-knows")
    assert (found.name, found.says) == ("topic", "Partition 0: The log ends at 1, before the stored offset 9.")
    assert "flask orders offsets set --partition 0" in (found.heals or "")


def test_another_cluster(handled: World) -> None:
    handled.query("UPDATE kafka_cluster SET cluster_id = 'another'")
    handled.send(a_create(), partition=0)
    found = cause(handled, place(handled, 1))
    assert (found.name, found.heals) == ("topic", "flask orders offsets accept-cluster")


@pytest.mark.parametrize("by", ["place", "saga"])
def test_a_partition_that_nobody_has(handled: World, by: str) -> None:
    saga_id = unique("saga")
    handled.send(a_create(saga_id), partition=0)
    found = why(handled.settings(), place(handled, 1) if by == "place" else saga_id)
    assert saga_id in check(found, "log").says
    assert found.cause is not None
    assert found.cause.name == "owner"
    assert found.cause.says.startswith(f"Nobody has partition 0: of group {handled.group}, it has no member.")


def a_member(world: World, name: str) -> KafkaConsumer:
    servers = world.environment["KAFKA_BOOTSTRAP_SERVERS"]
    member = KafkaConsumer(world.commands, bootstrap_servers=servers, group_id=world.group, client_id=name)
    # kafka-python forgets a join that outlives the poll it began in.
    wait_for(lambda: member.poll(timeout_ms=1000) or member.assignment(), "its partitions", 40)
    return member


def test_a_partition_that_a_stranger_has(handled: World) -> None:
    with closing(a_member(handled, "stranger")):
        handled.send(a_create(), partition=0)
        found = cause(handled, place(handled, 1))
    assert (found.name, found.says) == ("owner", "stranger at 127.0.0.1 has partition 0 and is not this service.")


def test_a_consumer_that_is_frozen(handled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(why_commands, "FROZEN_SECONDS", 0.0)
    with closing(a_member(handled, "order-service-frozen")):
        handled.send(a_create(), partition=0)
        found = cause(handled, place(handled, 1))
    assert found.name == "owner"
    assert "order-service-frozen has partition 0, but its stored offset has not moved for" in found.says


TELL = (
    "INSERT INTO instances (name, host, pid, version, commit, roles, seen_at, parts) "
    "VALUES (%s, 'host', 7, '1', 'c', 'all', now() - make_interval(secs => %s), %s)"
)


def test_an_instance_that_falls_silent_is_named_before_its_offset_stands_for_long(handled: World) -> None:
    handled.query(TELL, ["frozen", 3.2, "{}"])
    with closing(a_member(handled, "order-service-host-7")):
        handled.send(a_create(), partition=0)
        found = cause(handled, place(handled, 1))
        assert found.name == "owner"
        assert "held by an instance that is silent: process 7 on host has said nothing for" in found.says
        assert (found.heals or "").startswith("End process 7 on host (kill -KILL 7), or wait: its session with Kafka")
        handled.query(TELL, ["in its place", 0, "{}"])  # as a container does that starts again
        assert "silent" not in cause(handled, place(handled, 1)).says


def test_a_relay_that_falls_silent_is_named(world: World) -> None:
    order_id = quietly(world).create()
    world.query(TELL, ["frozen", 4, '{"relay": {"leads": ["events"]}}'])
    found = cause(world, order_id)
    assert found.name == "outbox"
    assert "its relay is silent: process 7 on host has said nothing for" in found.says
    assert "ends 8.0 s after its last word, and another relay leads" in (found.heals or "")


def test_a_group_that_is_not_told_leaves_the_later_checks(handled: World, admin: KafkaAdminClient) -> None:
    handled.send(a_create(), partition=0)
    pattern = ResourcePattern(ResourceType.GROUP, handled.group)
    acls = [
        ACL("User:*", "*", operation, permission, pattern)
        for operation, permission in (
            (ACLOperation.ALL, ACLPermissionType.ALLOW),
            (ACLOperation.DESCRIBE, ACLPermissionType.DENY),
        )
    ]
    admin.create_acls(acls)
    try:
        found = why(handled.settings(), place(handled, 1))
    finally:
        admin.delete_acls([ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, pattern)])
    assert check(found, "owner").ok is None
    assert found.cause is not None
    assert found.cause.name == "handled"


def test_a_command_whose_order_somebody_holds(handled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log tells which order it is about."""
    monkeypatch.setattr(why_commands, "FROZEN_SECONDS", 0.0)
    monkeypatch.setattr(why_ground, "HELD_SECONDS", 0.0)
    ((order_id,),) = handled.query("SELECT order_id FROM orders")
    with row_locked(handled.database_url, order_id), closing(a_member(handled, "order-service-1")):
        handled.send(an_update(order_id, "CREATED"), partition=0)
        found = cause(handled, place(handled, 1))
    assert found.name == "row"
    assert f"The row of order {order_id} has been locked" in found.says


def a_transaction(world: World) -> KafkaProducer:
    """One that has sent a record to partition 0 and is open."""
    servers = world.environment["KAFKA_BOOTSTRAP_SERVERS"]
    producer = KafkaProducer(bootstrap_servers=servers, transactional_id=world.group)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(world.commands, b"not a command", partition=0).get(30)
    return producer


def test_a_transaction_that_holds_the_partition(handled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(why_commands, "FROZEN_SECONDS", 0.0)
    with closing(a_member(handled, "order-service-1")), closing(a_transaction(handled)) as producer:
        handled.send(a_create(), partition=0)
        found = cause(handled, place(handled, 2))
        producer.abort_transaction()
    assert found.name == "handled"
    assert "an open transaction of a producer holds the partition from 1 on" in found.says


def test_the_marker_of_a_transaction_is_no_command_that_waits(handled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(why_commands, "FROZEN_SECONDS", 0.0)
    with closing(a_transaction(handled)) as producer:
        producer.abort_transaction()
    handled.query("UPDATE consumer_offsets SET next_offset = 2 WHERE partition = 0")
    with closing(a_member(handled, "order-service-1")):
        assert cause(handled, "nobody-knows").name == "known"


def test_commands_that_wait_with_an_alarm(handled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(why_commands, "FROZEN_SECONDS", 0.0)
    handled.query(
        "INSERT INTO alarms (name, holder, sentence, evidence, since, last_at, count) "
        "VALUES ('commands_wait_0', 'me', 'The disk is full', '', now(), now(), 1)"
    )
    with closing(a_member(handled, "order-service-1")):
        handled.send(a_create(), a_create(), partition=0)
        found = cause(handled, place(handled, 2))
    assert found.name == "handled"
    assert "1 before it, at 0 a second: The disk is full." in found.says
    assert "flask orders alarms show commands_wait_0" in (found.heals or "")


@pytest.mark.parametrize(("rang", "name"), [("now()", "database"), ("now() - interval '50 seconds'", "log")])
def test_a_fault_of_the_database_is_over_when_commands_were_handled_since(handled: World, rang: str, name: str) -> None:
    handled.query(
        "INSERT INTO alarms (name, holder, sentence, evidence, since, last_at, count) "
        f"VALUES ('database_fails', 'me', 'The disk is full', '', {rang}, {rang}, 1)"
    )
    handled.query("UPDATE consumer_offsets SET updated_at = now() - interval '20 seconds'")
    assert cause(handled, place(handled, 7)).name == name


def test_a_place_without_a_command_yet(handled: World) -> None:
    found = cause(handled, place(handled, 7))
    assert (found.name, found.says[:22]) == ("log", "There is no command at")


def test_a_command_that_is_handled_while_it_is_asked_about(handled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has just come: the second look finds it handled."""
    look_again = Case.look_again

    def handled_meanwhile(case: Case, seconds: float) -> None:
        handled.query("UPDATE consumer_offsets SET next_offset = 2 WHERE partition = 0")
        look_again(case, seconds)

    monkeypatch.setattr(Case, "look_again", handled_meanwhile)
    with closing(a_member(handled, "order-service-1")):
        handled.send(a_create(), partition=0)
        found = why(handled.settings(), place(handled, 1))
    assert found.cause is None
    assert check(found, "owner").says == "order-service-1 has partition 0."
    assert check(found, "handled").says == "Partition 0 is handled up to 1, the command at 1 too."


# Here


def test_an_unreadable_command(running: World) -> None:
    running.ask(b"no JSON", partition=0)
    found = cause(running, place(running, 0))
    (letter,) = running.query("SELECT id FROM dead_letters")[0]
    assert found.name == "readable"
    assert "cannot be read, so it has no reply" in found.says
    assert f"flask orders dead-letters replay {letter}" in (found.heals or "")


def test_a_command_that_was_given_up(running: World, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = command_service._decide

    def fails(received: Any, *rest: Any) -> Any:
        if received.correlation_id == "poison":
            raise RuntimeError("a bug")
        return decide(received, *rest)

    monkeypatch.setattr(command_service, "_decide", fails)
    running.ask(a_command("cancel_order", {"order_id": "o"}, correlation_id="poison"), partition=0)
    for some_id in ("poison", place(running, 0)):
        found = cause(running, some_id)
        assert (found.name, (found.heals or "")[:28]) == ("carried_out", "flask orders given-up show 1")


def test_a_refused_command(running: World) -> None:
    command = an_update("no-such-order", "PLACED")
    running.ask(command, partition=0)
    for some_id in (command["correlation_id"], "no-such-order", place(running, 0)):
        found = why(running.settings(), some_id)
        assert "was refused with order_not_found" in check(found, "decided").says
        assert found.cause is not None
        assert found.cause.name == "caller"
        assert "refused with order_not_found" in found.cause.says


def test_a_repeated_command(running: World) -> None:
    command = a_create()
    running.ask(command, partition=0)
    running.ask(command, partition=0)
    found = cause(running, place(running, 1))
    assert found.name == "decided"
    assert f"The same bytes were handled before at {place(running, 0)}" in found.says
    found = cause(running, command["correlation_id"])
    assert found.name == "caller"
    assert "came again 1 time," in found.says


# Behind us


def test_an_event_that_waits_without_a_relay(world: World) -> None:
    order_id = quietly(world).create()
    found = cause(world, order_id)
    assert found.name == "outbox"
    assert found.says.endswith(": no relay leads.")
    assert "ROLES=all or worker" in (found.heals or "")


def test_an_event_that_leaves_while_it_is_asked_about(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = quietly(world).create()
    look_again = Case.look_again

    def sent_meanwhile(case: Case, seconds: float) -> None:
        world.query("DELETE FROM outbox")
        look_again(case, seconds)

    monkeypatch.setattr(Case, "look_again", sent_meanwhile)
    assert check(why(world.settings(), order_id), "outbox").ok


def test_what_a_user_may_not_see_has_a_question_mark_and_the_chain_goes_on(world: World) -> None:
    order_id = quietly(world).create()
    world.query("CREATE ROLE few LOGIN PASSWORD 'few'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO few")
    world.query("REVOKE SELECT ON order_changes FROM few")
    try:
        url = world.database_url.replace("postgres:postgres@", "few:few@")
        found = why(world.settings(DATABASE_URL=url), order_id)
    finally:
        world.query("DROP OWNED BY few; DROP ROLE few")
    assert check(found, "decided").ok is None
    assert "no right to do this" in check(found, "decided").says
    assert found.cause is not None
    assert found.cause.name == "outbox"


def test_an_event_that_kafka_refuses(world: World) -> None:
    order_id = quietly(world).create()
    world.query("UPDATE outbox SET refusal = 'too large'")
    found = cause(world, order_id)
    assert found.says.endswith("Kafka refuses it: too large.")
    assert "flask orders outbox take-out" in (found.heals or "")


def test_an_event_that_was_taken_out(world: World) -> None:
    order_id = quietly(world).create()
    world.query("UPDATE outbox SET refusal = 'too large'")
    (event,) = world.query("SELECT id FROM outbox")[0]
    Terminal(world).prints("outbox", "take-out", event, "--yes")
    found = cause(world, order_id)
    assert (found.name, found.heals) == ("outbox", f"flask orders outbox put-back {event}")


def commit(world: World, group: str, offset: int) -> None:
    """Let a group of readers stand at this offset in each partition of the events topic."""
    offsets = {place: OffsetAndMetadata(offset, "", -1) for place in world.wire.places(world.events)}

    def stands() -> bool:
        patiently(world.wire.admin.alter_group_offsets, group, offsets)
        return {known.offset for known in patiently(world.wire.admin.list_group_offsets, group)[group].values()} == {
            offset
        }

    wait_for(stands, "the group's offsets")


def test_a_reader_of_replies_that_stands_still(running: World) -> None:
    command, slow, quick = an_update("no-such-order", "PLACED"), unique("slow"), unique("quick")
    commit(running, slow, 0)
    commit(running, quick, 1)
    running.ask(command, partition=0)
    found = why(running.settings(), command["correlation_id"])
    assert f"order.status_update_failed lies at {running.events}/" in check(found, "place").says
    assert found.cause is not None
    assert found.cause.says.startswith(f"Group {slow} stands before it, which lies there for ")
    assert list(found.cause.evidence) == [
        f"{slow} stands at 0, 1 records before it is past",
        f"{quick} has passed it",
    ]
    commit(running, slow, 1)
    found = why(running.settings(), command["correlation_id"])
    assert check(found, "readers").ok
    assert check(found, "caller") is found.cause


def passed(world: World, some_id: str) -> Why:
    found = why(world.settings(), some_id)
    assert found.cause is None, found.cause
    return found


def test_all_is_passed_and_the_next_move_is_the_callers(running: World) -> None:
    saga_id = unique("saga")
    order_id = running.create(saga_id)
    for some_id in (order_id, saga_id):
        found = passed(running, some_id)
        assert f"order.created lies at {running.events}/" in check(found, "place").says
        assert found.checks[-1].name == "caller"
        assert found.checks[-1].says.startswith("The next move is the caller's: our last word was")
        assert f"order {order_id} (PENDING, version 1)" in found.subject


def test_an_event_is_asked_about_by_its_place(running: World) -> None:
    order_id = running.create()
    (event,) = running.replies()
    found = passed(running, f"{running.events}/{event['partition']}/{event['offset']}")
    assert order_id in found.subject
    assert "An event lies at" in check(found, "log").says
    found = why(running.settings(), f"{running.events}/0/99")
    assert found.cause is not None
    assert found.cause.says == f"There is no record at {running.events}/0/99."


def test_an_event_is_asked_about_by_its_id(running: World) -> None:
    order_id = running.create()
    caller = Caller(running.apps[0].test_client())
    caller.post("/updateOrderStatus", {"orderId": order_id, "status": "CREATED"})
    running.settle()
    running.ask(an_update(order_id, "NONE"))
    types = {row["body"]["type"]: row["body"]["event_id"] for row in running.replies()}
    first, second, reply = (types[kind] for kind in ("order.created", "ORDER_UPDATED", "order.status_update_failed"))
    found = passed(running, first)
    assert f"event of order {order_id}, version 1" in found.subject
    assert f"Order {order_id} was created as PENDING, version 1" in check(found, "decided").says
    assert "order.created lies at" in check(found, "place").says
    assert found.checks[-1].name == "readers"
    assert "ORDER_UPDATED lies at" in check(passed(running, second), "place").says
    found = passed(running, reply)
    assert "The reply order.status_update_failed for" in check(found, "decided").says
    assert "order.status_update_failed lies at" in check(found, "place").says
    unknown = why(running.settings(), str(uuid.uuid5(uuid.NAMESPACE_URL, "none")))
    assert check(unknown, "topic").says == f"It is not the id of any of the 3 newest records of {running.events}."
    assert unknown.cause is not None
    assert unknown.cause.name == "known"


def test_an_event_that_waits_is_asked_about_by_its_id_and_found_in_a_long_outbox(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_rows, "FEW", 8)
    order_id = quietly(world).new("CREATED")
    world.query(
        "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, payload, created_at) SELECT "
        "gen_random_uuid(), 'other', 't', 'c', '', now() + i * interval '1 minute' FROM generate_series(1, 400) AS i"
    )
    ((event_id, row_id),) = world.query(
        "SELECT event_id, id FROM outbox WHERE aggregateid = %s AND version = 2", [order_id]
    )
    for some_id in (order_id, str(event_id)):
        found = cause(world, some_id)
        assert found.name == "outbox"
    assert "ORDER_UPDATED" in found.says
    assert f"waits in the outbox as {row_id} for" in found.says


def test_a_race_that_other_runners_lost_is_evidence(running: World) -> None:
    caller = Caller(running.apps[0].test_client())
    order_id = caller.new("ACCEPTED", "runner-1")
    assert caller.accept(order_id, "runner-2").status_code == 400
    running.settle()
    *_, evidence = check(passed(running, order_id), "row").evidence
    assert evidence.startswith("1 accept of it refused in the last hour, the last ")


def test_a_key_that_was_answered(running: World) -> None:
    caller, key = Caller(running.apps[0].test_client()), unique("key")
    order_id = caller.post("/createOrder", create_body(), Idempotency_Key=key).json["order_id"]
    running.settle()
    found = passed(running, key)
    assert "/createOrder was answered 201 under this key" in check(found, "key").says
    assert order_id in found.subject
    assert check(found, "place").says.startswith("ORDER_CREATED lies at ")


def test_an_id_that_nothing_knows(running: World) -> None:
    running.ask(a_create())
    found = cause(running, "nobody-knows")
    assert found.name == "known"
    assert found.says.startswith("Nothing knows 'nobody-knows'")


def test_a_text_that_can_be_no_id(world: World) -> None:
    with pytest.raises(NotPossible):
        why(world.settings(), "")


def test_a_place_is_asked_of_the_log_while_a_table_is_locked(world: World) -> None:
    """What cannot be asked has a question mark, and the later checks go on."""
    world.send(b"no JSON", partition=0)
    with closing(psycopg2.connect(world.database_url)) as holder:
        holder.cursor().execute("LOCK TABLE dead_letters")
        wait_for(lambda: why(world.settings(), place(world, 0)).cause, "the lock")
        found = why(world.settings(), place(world, 0))
    assert check(found, "database").ok
    assert any("dead_letters: a table is locked" in each for each in check(found, "database").evidence)


def test_the_command_prints_a_line_a_check_and_what_heals(world: World) -> None:
    order_id = quietly(world).create()
    printed = Terminal(world).prints("why", order_id)
    lines = printed.splitlines()
    assert lines[0] == f"{order_id}: order {order_id} (PENDING, version 1)"
    assert any(line.startswith("CAUSE  outbox: ORDER_CREATED") for line in lines)
    assert any(line.startswith("       → Start an instance with ROLES=all") for line in lines)
    shown = Terminal(world).json("why", order_id)
    assert shown["cause"]["name"] == "outbox"
    assert [each["ok"] for each in shown["checks"]] == [True] * (len(shown["checks"]) - 1) + [False]
