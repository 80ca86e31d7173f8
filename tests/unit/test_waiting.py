"""When what waits rings, and in which words."""

import logging
from collections.abc import Iterator

import pytest

from app.kafka import client_errors, commands_lag
from app.kafka.client_errors import KafkaReasons, explained
from app.kafka.commands_lag import Ends
from app.services import watch
from app.services.watch import WAITING_SECONDS, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(watch, "time", made)
    monkeypatch.setattr(client_errors, "time", made)
    monkeypatch.setattr(commands_lag, "time", made)
    return made


@pytest.fixture
def reasons() -> Iterator[KafkaReasons]:
    made = KafkaReasons()
    with made.listening():
        yield made


def looks(clock: Clock, *lanes: tuple[int | None, int, float]) -> list[bool]:
    """Look every 5 s: what is first, how many wait, the age of the first."""
    progress, found = Progress(), []
    for first, depth, age in lanes:
        clock.now += 5
        found.append(progress.look(first, depth, age))
    return found


def test_what_stands_for_thirty_seconds_rings(clock: Clock) -> None:
    ages = [(7, 1, 5.0 * number) for number in range(9)]
    assert looks(clock, *ages) == [False] * 6 + [True] * 3


def test_what_is_old_when_first_seen_rings_at_the_second_look(clock: Clock) -> None:
    assert looks(clock, (7, 1, 300.0), (7, 1, 305.0)) == [False, True]


def test_a_long_queue_that_is_worked_off_does_not_ring(clock: Clock) -> None:
    rows = [(number * 500, 100_000 - number * 500, 60.0 + number * 5) for number in range(20)]
    assert not any(looks(clock, *rows))


def test_a_queue_that_moves_and_never_gets_less_rings(clock: Clock) -> None:
    rows = [(number, 1000, 60.0) for number in range(10)]
    assert looks(clock, *rows)[-1]


def test_a_queue_that_only_grows_rings_as_soon_as_its_first_waits_for_thirty_seconds(clock: Clock) -> None:
    rows = [(number, 100 * number, 4.9 * number) for number in range(1, 10)]
    assert looks(clock, *rows) == [False] * 6 + [True] * 3


def test_what_came_in_one_go_and_is_worked_off_since_does_not_ring(clock: Clock) -> None:
    came = [(number, 20_000 * number, 4.9 * number) for number in range(1, 6)]
    worked_off = [(number, 130_000 - 5_000 * number, 4.9 * number) for number in range(6, 20)]
    assert not any(looks(clock, *came, *worked_off))


def test_it_is_over_when_nothing_old_waits(clock: Clock) -> None:
    assert looks(clock, (7, 1, 40.0), (7, 1, 45.0), (8, 1, 0.1), (None, 0, 0.0), (9, 1, 31.0)) == [
        False,
        True,
        False,
        False,
        False,
    ]


def test_how_long_a_record_waits_is_told_from_how_the_end_grew(clock: Clock) -> None:
    ends = Ends()
    assert ends.look(10, 10) == 0
    clock.now += 5
    assert ends.look(10, 12) == 0
    clock.now += 5
    assert ends.look(10, 20) == 5
    assert ends.look(12, 20) == 0
    clock.now += 7
    assert ends.look(12, 20) == 7
    assert ends.look(20, 20) == 0


def test_a_log_that_ends_earlier_is_another_one(clock: Clock) -> None:
    ends = Ends()
    ends.look(10, 20)
    clock.now += 100
    assert ends.look(0, 5) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SendFailed: record 17 was not acknowledged: TopicAuthorizationFailedError", "Kafka's ACLs"),
        ("SendFailed: record 3 was not acknowledged: InvalidTimestampError", "message.timestamp.after.max.ms"),
        ("NotEnoughReplicasError", "min.insync.replicas"),
    ],
)
def test_a_reason_says_what_the_error_means_and_is_the_same_each_time(text: str, words: str) -> None:
    assert words in explained(text)
    assert explained(text) == explained(text.replace("17", "18"))


def test_an_unknown_reason_is_said_as_it_is() -> None:
    assert explained("ValueError: 17 apples") == "ValueError: 17 apples"


def test_what_kafkas_client_retries_in_silence_is_remembered_for_a_while(clock: Clock, reasons: KafkaReasons) -> None:
    """Its record fails after 30 s with a time-out that does not say why."""
    logging.getLogger("kafka.producer.sender").warning(
        "%s: Got error produce response on topic-partition %s, retrying (%s attempts left): %s%s",
        "<Sender>",
        "TopicPartition(topic='order_events', partition=2)",
        5,
        "NotEnoughReplicasError",
        "",
    )
    assert reasons.latest("order_events") == ["NotEnoughReplicasError"]
    assert reasons.latest("order_commands") == []
    clock.now += client_errors.RECENT_SECONDS + 1
    assert reasons.latest() == []


def test_thirty_seconds_are_the_limit() -> None:
    assert WAITING_SECONDS == 30
