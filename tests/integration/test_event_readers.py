"""The groups that read the events: one that stands still is shown, with how much it has not read and since when."""

import socket
import time
from contextlib import closing
from functools import partial

import pytest
from kafka import KafkaConsumer, OffsetAndMetadata

from app import create_app
from app.models.operator_errors import KafkaUnusable
from app.operations import event_readers
from app.operations.event_readers import Reader, Readers, readers
from tests.harness.builders import unique
from tests.harness.terminal import Terminal
from tests.harness.world import World, patiently, wait_for

FRAGMENT = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that has much else to do, the page is not to give up."""
    monkeypatch.setattr(readers, "__kwdefaults__", {"seconds": 20.0})


def write(world: World, count: int, *, seconds_ago: float = 180) -> None:
    """Let so many records lie in the first partition of the events topic, for so long."""
    at = int((time.time() - seconds_ago) * 1000)
    for _ in range(count):
        world.wire.producer.send(world.events, b"{}", partition=0, timestamp_ms=at).get(20)


def commit(world: World, group: str, offset: int) -> None:
    """Let a group without a member stand at this offset in the first partition."""
    place = world.wire.places(world.events)[0]
    admin = world.wire.admin

    def stands() -> bool:
        patiently(admin.alter_group_offsets, group, {place: OffsetAndMetadata(offset, "", -1)})
        known = patiently(admin.list_group_offsets, group)[group].get(place)
        return known is not None and known.offset == offset

    wait_for(stands, "the group's offset")


def groups(found: Readers) -> dict[str, Reader]:
    return {reader.group: reader for reader in found.groups}


def page(world: World, **environment: str) -> str:
    client = create_app(world.settings(CONSOLE="ro", **environment)).test_client()
    answer = client.get("/console/outbox/readers", headers=FRAGMENT)
    assert answer.status_code == 200
    return answer.text


def test_a_group_that_stands_still_is_told_with_what_lies_before_it(world: World) -> None:
    slow, quick, lost = unique("slow"), unique("quick"), unique("<b>lost")
    write(world, 3)
    for group, offset in ((slow, 1), (quick, 3), (lost, 0)):
        commit(world, group, offset)
    found = groups(readers(world.settings()))
    assert list(found) == [lost, slow, quick]  # the farthest behind first
    assert (found[slow].behind, found[slow].state) == (2, "Empty")
    said = f"Group {slow} stands still: it has no member, and is 2 records behind, the first of them unread for 3 min"
    assert said in (found[slow].stands or "")
    assert (found[quick].behind, found[quick].unread_since, found[quick].stands) == (0, None, None)
    shown = page(world)
    assert f"Group {slow} stands still" in shown
    assert f"Group {quick} stands" not in shown
    assert shown.count("has read all") == 1
    assert "&lt;b&gt;lost" in shown
    assert f"Group {slow} stands still" in Terminal(world).prints("readers")
    assert [each["behind"] for each in Terminal(world).json("readers")["groups"]] == [3, 2, 0]


def test_what_has_just_come_is_behind_and_nobody_stands(world: World) -> None:
    group = unique("busy")
    write(world, 1, seconds_ago=-60)  # its relay's clock is ahead
    commit(world, group, 0)
    found = groups(readers(world.settings()))[group]
    assert (found.behind, found.unread_seconds, found.stands) == (1, 0.0, None)


def test_a_group_whose_members_do_nothing_does_not_keep_up(world: World) -> None:
    group = unique("frozen")
    write(world, 1)
    with closing(
        KafkaConsumer(
            world.events,
            bootstrap_servers=world.settings().bootstrap_servers[0],
            group_id=group,
            enable_auto_commit=False,
        )
    ) as consumer:
        wait_for(lambda: consumer.poll(timeout_ms=200) or consumer.assignment(), "the assignment")
        consumer.commit({place: OffsetAndMetadata(0, "", -1) for place in consumer.assignment()})
        found = groups(readers(world.settings()))[group]
    assert (found.state, found.behind) == ("Stable", 1)
    assert f"Group {group} does not keep up: it is 1 record behind" in (found.stands or "")


def test_records_that_kafka_has_deleted_are_not_counted(world: World) -> None:
    group = unique("late")
    write(world, 3)
    commit(world, group, 0)
    world.wire.admin.delete_records({world.wire.places(world.events)[0]: 2})
    found = groups(readers(world.settings()))[group]
    assert found.behind == 1


def test_without_a_group_a_sentence_says_so(world: World) -> None:
    assert f"No consumer group has an offset on {world.events}" in page(world)
    assert "No consumer group" in Terminal(world).prints("readers")


def test_a_broker_that_answers_nothing_keeps_the_page_for_a_second(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "__kwdefaults__", {"seconds": event_readers.SECONDS})
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        away = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{frozen.getsockname()[1]}"}
        asked = partial(readers, world.settings(**away))
        began = time.monotonic()
        with pytest.raises(KafkaUnusable, match="Which groups read the events is not known now: "):
            asked()
        assert time.monotonic() - began < 10  # Kafka's client itself waits for half a minute
        assert "Which groups read the events is not known now" in page(world, **away)
