"""What is broken on our side is never taken for a fault of the commands: they wait, and somebody is told why [K7]."""

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from app.api import errors
from app.models import rules
from tests.harness.world import World, a_cancel, a_create, an_update, by_correlation, details, wait_for

BROKEN = {
    "a right": (
        "REVOKE INSERT ON order_changes FROM {role}",
        "GRANT INSERT ON order_changes TO {role}",
        "42501",
    ),
    "an I/O error": (
        "CREATE TRIGGER breaks BEFORE INSERT ON order_changes EXECUTE FUNCTION breaks('58030')",
        "DROP TRIGGER breaks ON order_changes",
        "58030",
    ),
    "a constraint that nothing meets": (
        "ALTER TABLE order_changes ADD COLUMN shift text; ALTER TABLE order_changes ADD CHECK (shift IS NOT NULL) "
        "NOT VALID",
        "ALTER TABLE order_changes DROP COLUMN shift CASCADE",
        "23514",
    ),
}
RAISES = """
CREATE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE 'broken' USING ERRCODE = TG_ARGV[0]; END $$
"""


@pytest.fixture
def role(world: World) -> Iterator[str]:
    """A role that owns nothing, and a service that connects as it: a superuser may do anything."""
    name = f"few_{uuid.uuid4().hex}"
    world.query(f"CREATE ROLE {name} LOGIN PASSWORD 'few'")
    world.query(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")
    url = make_url(world.database_url).set(username=name, password="few")
    world.start(DATABASE_URL=url.render_as_string(hide_password=False), SCHEMA="check")
    yield name
    world.stop()
    world.query(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize("fault", BROKEN)
def test_commands_wait_and_are_handled_after_the_mend(world: World, role: str, fault: str) -> None:
    """[K7]"""
    broken, mended, code = (text.format(role=role) for text in BROKEN[fault])
    order_id = world.create()
    world.query(f"{RAISES}; {broken}")
    commands = [a_create(), a_create(), a_cancel(order_id)]
    world.send(*commands, partition=0)
    assert code in wait_for(lambda: world.alarm("commands_wait_0"), "the alarm")
    answer = world.apps[0].test_client().post("/cancelOrder", json={"orderId": order_id})
    assert answer.status_code != 500
    world.query(mended)
    world.settle()
    wait_for(lambda: not world.alarm("commands_wait_0"), "the end of the alarm")
    replies = by_correlation(world.replies())
    types = [replies[it["correlation_id"]]["body"]["type"] for it in commands]
    assert types == ["order.created", "order.created", "order.cancelled"]
    assert world.count("given_up_commands") == 0


def test_a_service_that_can_decide_nothing_gives_no_command_up(running: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """[K7]"""
    running.create()
    commands = [a_create() for _ in range(5)]

    def broken(*_: object) -> None:
        raise RecursionError

    with monkeypatch.context() as patch:
        patch.setattr(rules, "create", broken)
        running.send(*commands, partition=0)
        wait_for(lambda: running.alarm("commands_wait_0"), "the alarm")
    running.settle()
    assert {it["correlation_id"] for it in commands} <= set(by_correlation(running.replies()))
    assert running.count("given_up_commands") == 0


def test_a_command_that_postgresql_refuses_is_given_up_and_its_neighbours_are_handled(running: World) -> None:
    """SQLSTATE class 23, for one order alone. [K10]"""
    order_id, other = running.create(), running.create()
    running.query(f"ALTER TABLE orders ADD CHECK (order_id <> '{order_id}' OR order_status = 'PENDING')")
    commands = [an_update(other, "PLACED"), an_update(order_id, "PLACED"), a_create()]
    rows = by_correlation(running.ask(*commands, partition=2))
    types = [rows[it["correlation_id"]]["body"]["type"] for it in commands]
    assert types == ["order.status_updated", "order.status_update_failed", "order.created"]
    assert rows[commands[1]["correlation_id"]]["payload"]["code"] == "internal_error"
    ((error,),) = running.query("SELECT error FROM given_up_commands")
    assert "(SQLSTATE 23514)" in error


def test_a_batch_of_commands_ends_the_alarm_of_requests_that_failed(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no request comes any more that could."""
    monkeypatch.setattr(errors, "QUIET_SECONDS", 0.0)
    running.query(f"{RAISES}; {BROKEN['an I/O error'][0]}")
    body = {"customer_id": "ann", "order_details": details()}
    assert running.apps[0].test_client().post("/createOrder", json=body).status_code == 503
    assert "58030" in (running.alarm("database_fails") or "")
    running.query(BROKEN["an I/O error"][1])
    running.create()
    wait_for(lambda: not running.alarm("database_fails"), "the end of the alarm")
