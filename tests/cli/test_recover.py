"""`recover`: after PostgreSQL was restored to an older state, what came after it is done again, once and as it was."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from app.operations import instances, lanes
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_cancel, a_create, an_update, details, wait_for
from tools.stack.postgres import Postgres

Make = Callable[[World], Terminal]

ORDERS = "SELECT orders::text FROM orders ORDER BY order_id"
CHANGES = (
    "SELECT order_id, version, change_id, kind, from_status, to_status, runner_id, correlation_id, door "
    "FROM order_changes"
)


class Snapshot:
    """A state of the world's database, to go back to: as a backup that is restored, in a tenth of its time."""

    def __init__(self, world: World, postgres: Postgres) -> None:
        self.world = world
        self.postgres = postgres
        self.name = world.database_url.rpartition("/")[2]
        self.copy(self.name, f"{self.name}_then")

    def restore(self) -> None:
        """Put the state in the place of the present one."""
        self.world.stop()
        self.copy(f"{self.name}_then", self.name)

    def copy(self, source: str, target: str) -> None:
        self.world.reconnect()
        with closing(psycopg2.connect(self.postgres.url("postgres"))) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (source,))
            cursor.execute(f"CREATE DATABASE {target} TEMPLATE {source}")


@pytest.fixture
def snapshot(world: World, postgres: Postgres) -> Any:
    """The state with one order of a saga, which was handled and announced."""
    world.start()
    world.create("saga-before")
    world.stop()
    taken = Snapshot(world, postgres)
    yield taken
    postgres.drop_database(f"{taken.name}_then")


def http(world: World, path: str, **body: Any) -> Any:
    answer = world.apps[0].test_client().post(path, json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json


def through_both_doors(world: World) -> None:
    """Changes that only their old order makes again: each needs those before it, over both doors."""
    first, second = world.create("saga-1"), http(world, "/createOrder", customer_id="ann", order_details=details())
    other = second["order_id"]
    world.ask(an_update(first, "CREATED"), an_update(other, "CREATED"))
    http(world, "/verifyAndAcceptOrder", orderId=first, runner_id="runner-1")
    twice = an_update(first, "PLACED", payment_status="AUTHORIZED")
    world.ask(twice, twice, a_cancel(other, reason="no soup"), an_update("nobody", "PLACED"), b"no command")
    http(world, "/updateOrderStatus", orderId=first, status="DELIVERED")
    world.ask(an_update(first, "ON_THE_WAY"), a_create("saga-1"), an_update(other, "PLACED"))
    http(world, "/completeOrder", orderId=first)


@pytest.mark.parametrize("lane", ["had led", "had not led yet"])
def test_what_came_after_the_restored_state_is_there_again_as_it_was(
    world: World, snapshot: Snapshot, terminal: Make, lane: str
) -> None:
    """[K3] [K8] [K13] Orders to the last column, history with its event ids; nothing is announced a second time."""
    world.start()
    through_both_doors(world)
    world.settle()
    orders, changes, announced = world.query(ORDERS), sorted(world.query(CHANGES)), world.replies()
    letters = world.dead_letters()
    snapshot.restore()
    assert world.count("order_changes") == 1
    if lane == "had not led yet":  # of the dead letters, when the state was taken
        world.query("DELETE FROM relay_positions WHERE topic = %s", (world.letters,))
    done = terminal(world).json("recover", "--reason", "a disk", "--yes", "--as", "alice")
    assert (done["changes"], done["not_back"], done["deleted"]) == (4, [], 0)
    assert world.query(ORDERS) == orders
    assert sorted(world.query(CHANGES)) == changes
    assert terminal(world).audit()[-1][:2] == ("alice", "recover")
    again = terminal(world).json("recover", "--reason", "a disk", "--yes")
    assert (again["changes"], again["commands"], again["not_back"]) == (0, 0, [])
    world.start()
    world.settle()
    assert world.query(ORDERS) == orders
    assert [row["value"] for row in world.replies()] == [row["value"] for row in announced]
    assert [row["value"] for row in world.dead_letters()] == [row["value"] for row in letters]
    assert terminal(world).json("check")["findings"] == []


def test_what_nothing_announced_cannot_be_done_again_and_is_named(
    world: World, snapshot: Snapshot, terminal: Make
) -> None:
    """An order of testCreateOrder is known from its first change on: from one over HTTP, which has the whole order."""
    world.start()
    lost, known = (http(world, "/testCreateOrder", customer_id="ann", order_details=details()) for _ in range(2))
    world.ask(an_update(lost["order_id"], "CREATED"))
    http(world, "/updateOrderStatus", orderId=known["order_id"], status="CREATED")
    world.settle()
    snapshot.restore()
    result = terminal(world).run("recover", "--reason", "a disk", "--yes")
    assert result.exit_code == 1
    assert f"{lost['order_id']}" in result.stdout
    assert "Not as announced, 1 in all" in result.stdout
    assert world.order(known["order_id"]) == ("CREATED", "PENDING", None, 2)
    assert world.order(lost["order_id"]) is None


def test_it_refuses_while_the_service_runs_and_where_a_topic_is_another_one(
    world: World, snapshot: Snapshot, terminal: Make
) -> None:
    world.start()
    world.create()
    wait_for(lambda: world.count("instances"), "the process to tell of itself")
    assert "stop all of them first" in terminal(world).refusal("recover", "--reason", "a disk", "--yes")
    snapshot.restore()
    world.wire.admin.delete_topics([world.events])
    world.wire.create_topics(world.events)
    assert "was made anew" in terminal(world).refusal("recover", "--reason", "a disk", "--yes")


def test_it_refuses_while_a_process_leads_that_has_not_told_of_itself_yet(
    world: World, snapshot: Snapshot, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start()
    world.create()
    monkeypatch.setattr(instances, "find", lambda _: [])
    monkeypatch.setattr(lanes, "WAIT_SECONDS", 1)
    refusal = terminal(world).refusal("recover", "--reason", "a disk", "--yes")
    assert refusal.startswith("A relay has led the lane events for 1 s")
    assert "recover" not in [action for _, action, *_ in terminal(world).audit()]


def test_a_partition_that_came_since_is_handled_from_its_beginning(
    world: World, snapshot: Snapshot, terminal: Make
) -> None:
    """Not from where the group has committed its offset, as where this service takes another one's place."""
    unknown = world.query("SELECT partition FROM consumer_offsets WHERE next_offset = 0")[0][0]
    world.start()
    world.ask(a_create("saga-new"), partition=unknown)
    snapshot.restore()
    world.query("DELETE FROM consumer_offsets WHERE partition = %s", (unknown,))
    done = terminal(world).json("recover", "--reason", "a disk", "--yes")
    assert (done["commands"], done["not_back"]) == (1, [])
    assert world.count("orders", "saga_id = 'saga-new'") == 1
