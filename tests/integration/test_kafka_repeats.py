"""Commands that come again: the same bytes, and others that ask for what is already so [K8]."""

import json

from tests.harness.world import World, a_cancel, a_create, an_update, by_correlation, details


def test_the_same_bytes_again_have_no_effect_and_no_reply(running: World) -> None:
    """[K8]"""
    order_id = running.create()
    commands = [a_create(), an_update(order_id, "PLACED"), a_cancel("nobody"), an_update(order_id, "NONE")]
    assert len(running.ask(*commands)) == 4
    before = running.query("SELECT order_id, version FROM orders ORDER BY order_id")
    assert running.ask(*commands) == []
    assert running.query("SELECT order_id, version FROM orders ORDER BY order_id") == before


def test_the_same_bytes_in_one_batch_are_one_command(running: World) -> None:
    """[K8]"""
    twins = [a_create("saga-1")] * 100
    assert len(running.ask(*twins, partition=0)) == 1
    assert running.count("orders") == 1


def test_the_same_bytes_in_other_partitions_with_other_keys_are_one_command(running: World) -> None:
    """[K8]"""
    twin = a_create("saga-1")
    for partition in (0, 1, 2):
        running.send(twin, partition=partition, key=b"%d" % partition)
    running.settle()
    assert len(running.replies()) == running.count("orders") == 1


def test_the_same_bytes_long_after_do_not_undo_what_came_between(running: World) -> None:
    """ "Already" means now, but the same bytes are the same command. [K8] [R4]"""
    order_id = running.create()
    placed = an_update(order_id, "PLACED")
    running.ask(placed)
    running.ask(an_update(order_id, "DELIVERED"))
    assert running.ask(placed) == []
    assert running.order(order_id) == ("DELIVERED", "PENDING", None, 3)


def test_another_create_of_a_saga_is_answered_like_the_first(running: World) -> None:
    """[K8]"""
    (first,) = running.ask(a_create("saga-1"))
    again = a_create(
        "saga-1", correlation_id="other", customer_id="somebody else", order_details=details(deliveryFee=1)
    )
    (second,) = running.ask(again)
    changed = {"correlation_id": "other"}
    expected = {name: value for name, value in first["payload"].items() if name != "version"} | changed
    assert (second["body"]["type"], second["payload"]) == ("order.created", expected)
    assert "version" not in second["headers"]
    assert second["body"]["event_id"] != first["body"]["event_id"]
    assert running.count("orders") == running.count("order_changes") == 1


def test_another_create_of_a_saga_says_pending_though_the_order_moved_on(running: World) -> None:
    """[K8]"""
    order_id = running.create("saga-1")
    running.ask(an_update(order_id, "DELIVERED"))
    (row,) = running.ask(a_create("saga-1", correlation_id="other"))
    assert (row["payload"]["order_id"], row["payload"]["status"]) == (order_id, "PENDING")
    assert running.order(order_id) == ("DELIVERED", "PENDING", None, 2)


def test_an_unusable_create_of_a_saga_that_has_its_order_is_answered_like_the_first(running: World) -> None:
    """Whatever else it says. [K8]"""
    order_id = running.create("saga-1")
    unusable = a_create("saga-1", correlation_id="other", customer_id=..., order_details=[])
    (row,) = running.ask(unusable)
    assert (row["body"]["type"], row["payload"]["order_id"]) == ("order.created", order_id)


def test_creates_of_one_saga_in_one_batch_make_one_order(running: World) -> None:
    """[K8]"""
    twins = [a_create("saga-1", correlation_id=f"c-{number}") for number in range(5)]
    rows = running.ask(*twins, partition=1)
    assert set(by_correlation(rows)) == {f"c-{number}" for number in range(5)}
    assert len({row["payload"]["order_id"] for row in rows}) == running.count("orders") == 1
    assert sum("version" in row["payload"] for row in rows) == 1
    assert len({row["body"]["event_id"] for row in rows}) == 5


def test_creates_of_one_saga_in_all_partitions_at_two_instances_make_one_order(running: World) -> None:
    """[K8]"""
    running.start()
    for number in range(30):
        running.send(a_create("saga-1", correlation_id=f"c-{number}"), partition=number % 3)
    running.settle()
    rows = running.replies()
    assert set(by_correlation(rows)) == {f"c-{number}" for number in range(30)}
    assert {row["body"]["type"] for row in rows} == {"order.created"}
    assert len({row["payload"]["order_id"] for row in rows}) == running.count("orders") == 1


def test_a_create_and_its_next_steps_work_within_one_batch(running: World) -> None:
    """[K8] [K3]"""
    unusable, good = a_create("saga-1", correlation_id="bad", customer_id=...), a_create("saga-1")
    twin = a_create("saga-1", correlation_id="twin")
    rows = by_correlation(running.ask(unusable, good, twin, partition=2))
    types = {name: row["body"]["type"] for name, row in rows.items()}
    assert types == {"bad": "order.creation_failed", "saga-1": "order.created", "twin": "order.created"}
    assert rows["twin"]["payload"]["order_id"] == rows["saga-1"]["payload"]["order_id"]


def test_a_create_whose_earlier_tries_failed_is_decided_anew(running: World) -> None:
    """[K8]"""
    for number in range(2):
        (row,) = running.ask(a_create("saga-1", correlation_id=f"c-{number}", customer_id=...))
        assert row["body"]["type"] == "order.creation_failed"
    (row,) = running.ask(a_create("saga-1"))
    assert (row["body"]["type"], row["payload"]["version"]) == ("order.created", 1)


def test_a_status_that_the_order_has_now_is_answered_without_a_change(running: World) -> None:
    """[K8] [R4]"""
    for status in ("PENDING", "ACCEPTED", "COMPLETED", "CANCELLED"):
        order_id = running.create_in(status)
        before = running.order(order_id)
        (row,) = running.ask(an_update(order_id, status))
        payload = row["payload"]
        assert (row["body"]["type"], payload["order_id"], payload["status"]) == (
            "order.status_updated",
            order_id,
            status,
        )
        assert "version" not in payload
        assert running.order(order_id) == before


def test_a_status_that_the_order_had_once_is_a_change(running: World) -> None:
    """ "Already" means now, not once. [R4] [R3]"""
    order_id = running.create_in("PLACED")
    running.ask(an_update(order_id, "DELIVERED"))
    (row,) = running.ask(an_update(order_id, "PLACED"))
    assert row["payload"]["version"] == 4


def test_several_changes_of_one_order_in_one_batch_are_announced_each(running: World) -> None:
    """[K3] [K7]"""
    order_id = running.create()
    statuses = ["CREATED", "ACCEPTED", "PLACED", "PLACED", "ON_THE_WAY", "DELIVERED"]
    rows = running.ask(*[an_update(order_id, it) for it in statuses], partition=0)
    told = [(row["payload"]["status"], row["payload"].get("version")) for row in rows]
    versions = [2, 3, 4, None, 5, 6]
    assert told == list(zip(statuses, versions, strict=True))
    assert running.query("SELECT version FROM order_changes ORDER BY version") == [(it,) for it in range(1, 7)]


def test_a_change_of_spacing_makes_other_bytes_and_so_another_command(running: World) -> None:
    """[K8]"""
    command = a_create("saga-1")
    compact = json.dumps(command, separators=(",", ":")).encode()
    rows = running.ask(command) + running.ask(compact)
    assert [row["body"]["type"] for row in rows] == ["order.created"] * 2
    assert running.count("orders") == 1
