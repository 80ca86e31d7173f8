"""Kafka's ACLs: what docs/security.md lists is enough, and each of it is needed."""

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaConsumer, OffsetAndMetadata
from kafka.admin import ACL, ACLFilter, ACLOperation, ResourcePatternFilter, ResourceType

from app.kafka.event_places import open_look
from app.operations import event_log
from app.operations.event_readers import readers
from app.operations.timeline import timeline
from app.services import watch
from tests.harness.certificates import write
from tests.harness.secure_broker import SecureBroker, right
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_create, details, service_of, wait_for

TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP
READ, WRITE = ACLOperation.READ, ACLOperation.WRITE
NEEDED = [
    (TOPIC, "commands", READ, "topics_unknown", "TopicAuthorizationFailedError: the service needs READ"),
    (TOPIC, "events", WRITE, "kafka_rights", "Kafka's ACLs do not let the service WRITE"),
    (TOPIC, "events", READ, "kafka_rights", "Kafka's ACLs do not let the service READ"),
    (TOPIC, "letters", WRITE, "kafka_rights", "Kafka's ACLs do not let the service WRITE"),
    (TOPIC, "letters", READ, "kafka_rights", "Kafka's ACLs do not let the service READ"),
    (
        GROUP,
        "group",
        READ,
        "consumer_fails",
        "Kafka's ACLs forbid the group to the service's user: READ KAFKA_GROUP_ID",
    ),
]
"""Everything that the service needs on topics that exist, and how it says that this one is missing."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WATCH_LOOK_SECONDS", 0.2)


class Limited:
    """A user with these rights on a world's topics."""

    def __init__(self, secure: SecureBroker, world: World, folder: Path) -> None:
        self.user = f"user-{uuid.uuid4().hex[:8]}"
        self.secure = secure
        secure.set_password("password", self.user)
        way = secure.login(folder) | {"KAFKA_SASL_USERNAME": self.user}
        write(folder / "password", b"password")
        world.environment |= way
        self.rights = [right(kind, getattr(world, what), wanted, self.user) for kind, what, wanted, _, _ in NEEDED]
        secure.grant(*self.rights)

    @contextmanager
    def without(self, taken: ACL) -> Iterator[None]:
        """Take one right away for a while."""
        pattern = taken.resource_pattern
        with self.secure.admin() as admin:
            resource = ResourcePatternFilter(pattern.resource_type, pattern.resource_name, pattern.pattern_type)
            admin.delete_acls([ACLFilter(taken.principal, "*", taken.operation, taken.permission_type, resource)])
        yield
        self.secure.grant(taken)


@pytest.fixture
def limited(secure: SecureBroker, secured: World, tmp_path: Path) -> Iterator[Limited]:
    made = Limited(secure, secured, tmp_path)
    yield made
    secure.revoke_all(made.user)


def goes_on(world: World) -> None:
    """Events, replies and dead letters leave."""
    assert world.apps[0].test_client().post("/createOrder", json=order()).status_code == 201
    world.send(a_create(), b"not a command")
    world.settle()


def says(world: World, alarm: str, sentence: str) -> bool:
    return sentence in (world.alarm(alarm) or "")


def order() -> dict[str, object]:
    return {"customer_id": "ann", "order_details": details()}


def test_these_rights_are_enough(secured: World, limited: Limited) -> None:
    """No right on the cluster, none to make topics, none to see their settings; by old records and by new ones."""
    secured.start()
    goes_on(secured)
    secured.stop()
    secured.start()
    goes_on(secured)
    assert service_of(secured.apps[0])._alarms.all() == {}
    assert [thread.name for thread in service_of(secured.apps[0]).threads if thread.restarts] == []
    assert Terminal(secured).run("check").exit_code == 0


def test_each_right_that_is_missing_is_named(secured: World, limited: Limited) -> None:
    secured.start(KAFKA_SESSION_TIMEOUT_MS="1500")  # a member of the group stays one until then
    goes_on(secured)
    for taken, (_, what, _, alarm, sentence) in zip(limited.rights, NEEDED, strict=True):
        with limited.without(taken):
            wait_for(partial(says, secured, alarm, sentence), f"{alarm} without {taken.operation} {what}")
            assert what == "group" or getattr(secured, what) in (secured.alarm(alarm) or "")
        if alarm != "consumer_fails":  # which ends 12 s after the last failure
            wait_for(lambda: not secured.alarm("topics_unknown") and not secured.alarm("kafka_rights"), "their end")
    goes_on(secured)


def test_topics_that_it_may_not_make_are_made_by_others(
    secured: World, limited: Limited, secure: SecureBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more partitions, and with fewer, than KAFKA_TOPIC_PARTITIONS."""
    with secure.admin() as admin:
        admin.delete_topics([secured.commands, secured.events, secured.letters])
        wait_for(lambda: not {secured.commands, secured.events, secured.letters} & set(admin.list_topics()), "the end")
    secured.start()
    assert secured.events in wait_for(lambda: secured.alarm("topics_missing"), "the alarm")
    failed = {thread.name: thread for thread in service_of(secured.apps[0]).threads}["relay-events"]
    wait_for(lambda: "cannot be created" in (failed.last_error or ""), "the sentence")
    secured.wire.create_topics(secured.commands, partitions=7)
    secured.wire.create_topics(secured.events, partitions=1)
    secured.wire.create_topics(secured.letters, partitions=2)
    goes_on(secured)
    wait_for(lambda: not secured.alarm("topics_missing"), "the end of the alarm")
    assert f"{secured.events} has 1" in wait_for(lambda: secured.alarm("topic_partitions"), "the shape")


def test_a_command_is_sent_by_hand_only_with_the_right(secured: World, limited: Limited) -> None:
    sent = partial(Terminal(secured).run, "send-command", "--raw", "--file", "-", stdin=b"{}")
    refused = sent()
    assert (refused.exit_code, f"WRITE {secured.commands}" in refused.stderr) == (1, True)
    limited.secure.grant(right(TOPIC, secured.commands, WRITE, limited.user))
    assert sent().exit_code == 0


def test_which_groups_have_passed_an_event_needs_a_right_on_them_and_nothing_else_does(
    secured: World, limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the time line has the places of all records, and says what it does not see."""
    monkeypatch.setattr(event_log, "open_look", partial(open_look, seconds=10))
    secured.start()
    order_id = secured.create()
    reader = f"{secured.group}.reader"
    with closing(KafkaConsumer(bootstrap_servers=limited.secure.bootstrap, group_id=reader)) as consumer:
        places = secured.wire.places(secured.events)
        consumer.assign(places)
        consumer.commit({place: OffsetAndMetadata(9, "", -1) for place in places})
    [entry] = (found := timeline(secured.settings(), order_id)).entries
    assert entry.went is not None
    assert (entry.went.state, entry.went.groups, found.notes) == ("acknowledged", {}, [event_log.NO_GROUPS])
    unseen = readers(secured.settings(), seconds=10)
    assert (unseen.groups, "may see none" in (unseen.nobody or "")) == ([], True)
    limited.secure.grant(right(GROUP, reader, ACLOperation.DESCRIBE, limited.user))
    [entry] = wait_for(
        lambda: (seen := timeline(secured.settings(), order_id)).notes == [] and seen, "the group"
    ).entries
    assert entry.went is not None
    assert entry.went.groups == {reader: True}
    assert [each.group for each in readers(secured.settings(), seconds=10).groups] == [reader]
