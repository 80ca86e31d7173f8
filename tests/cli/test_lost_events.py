"""`outbox find-lost`, `announce-again`: events that Kafka acknowledged and lost are found, and announced once more."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.terminal import Terminal
from tests.harness.world import Row, World, a_cancel, an_update, details

Make = Callable[[World], Terminal]


def by_version(world: World) -> dict[tuple[str, int], Row]:
    world.settle()
    rows = world.replies()
    return {(row["key"].decode(), row["payload"]["version"]): row for row in rows if "version" in row["payload"]}


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def comparable(row: Row) -> dict[str, Any]:
    """Without the time, which is that of the history's line, and the order as text."""
    body = {name: value for name, value in row["body"].items() if name != "timestamp"}
    return body | {"payload": {name: value for name, value in body["payload"].items() if name != "event"}}


def http(world: World, path: str, **body: Any) -> Any:
    answer = (
        world.apps[0].test_client().post(path, json=body, headers={"X-Correlation-ID": "c-1", "traceparent": TRACE})
    )
    assert answer.status_code in (200, 201), answer.text
    return answer.json


def test_lost_events_are_found_and_announced_again_as_they_were(running: World, terminal: Make) -> None:
    """[K2] [K3] [K12] Commands' replies and HTTP events; also those of a topic that is there no more."""
    world = running
    first, second = world.create("saga-1"), world.create()
    world.ask(an_update(first, "CREATED"), a_cancel(second))
    made = http(world, "/createOrder", customer_id="ann", order_details=details())["order_id"]
    http(world, "/testCreateOrder", customer_id="ann", order_details=details())
    world.ask(an_update(made, "CREATED"))
    http(world, "/cancelOrder", orderId=made)
    before = by_version(world)
    assert len(before) == 7
    assert terminal(world).json("outbox", "find-lost", "--http-created")["lost"] != [], "testCreateOrder has no event"
    world.query("DELETE FROM lost_events")
    assert terminal(world).prints("outbox", "find-lost") == "No event is lost.\n"
    world.stop()
    world.wire.admin.delete_topics([world.events])
    world.wire.create_topics(world.events)
    lost = terminal(world).json("outbox", "find-lost", "--as", "alice")["lost"]
    of_http = (made, 1)
    assert {(event["order_id"], event["version"]) for event in lost} == before.keys() - {of_http}
    (finding,) = json.loads(terminal(world).run("check", "--json").stdout)["findings"]
    assert (finding["check"], finding["count"]) == ("lost_event", 6)
    assert terminal(world).json("outbox", "announce-again", "--yes", "--as", "alice") == {"announced": 6}
    assert [line[:2] for line in terminal(world).audit()[-2:]] == [("alice", "find-lost"), ("alice", "announce-again")]
    world.start()
    after = by_version(world)
    assert {key: comparable(row) for key, row in after.items()} == {
        key: comparable(row) for key, row in before.items() if key != of_http
    }
    assert {key: row["headers"] for key, row in after.items()} == {
        key: row["headers"] for key, row in before.items() if key != of_http
    }
    assert terminal(world).json("check")["findings"] == []
    assert terminal(world).json("outbox", "announce-again", "--yes") == {"announced": 0}


def test_the_order_of_an_http_event_is_the_one_that_there_is_now(running: World, terminal: Make) -> None:
    """History does not hold how it looked; its own version says which it is."""
    world = running
    order_id = http(world, "/createOrder", customer_id="ann", order_details=details())["order_id"]
    world.ask(an_update(order_id, "CREATED"))
    http(world, "/cancelOrder", orderId=order_id)
    world.settle()
    ids = "INSERT INTO lost_events SELECT change_id, order_id, version FROM order_changes WHERE version = 1"
    world.query(ids)
    terminal(world).prints("outbox", "announce-again", "--yes")
    world.settle()
    again = [row for row in world.replies() if row["payload"]["version"] == 1][-1]
    order = json.loads(again["payload"]["event"])
    assert (again["payload"]["status"], order["orderStatus"], order["version"]) == ("created", "CANCELLED", 3)


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ("kind = 'eaten'", "'eaten' is not a valid ChangeKind"),
        ("kind = 'accepted'", "no command makes a change of the kind accepted"),
        ("to_status = 'GONE'", "'GONE' is not a valid OrderStatus"),
    ],
)
def test_a_change_that_nothing_makes_is_refused_in_one_sentence(
    running: World, terminal: Make, odd: str, why: str
) -> None:
    order_id = running.create()
    running.settle()
    running.stop()
    running.query("INSERT INTO lost_events SELECT change_id, order_id, version FROM order_changes")
    running.query(f"UPDATE order_changes SET {odd}")
    sentence = f"Nothing makes such a change as version 1 of order {order_id}, so its event is lost: {why}."
    assert terminal(running).refusal("outbox", "announce-again", "--yes") == sentence
    assert (running.count("outbox"), running.count("lost_events", "announced_at IS NULL")) == (0, 1)
