"""What a person is told of commands that wait."""

from app.kafka.command_trouble import wait_sentence


def test_an_alarm_that_quotes_another_one_says_once_what_waits() -> None:
    rung = wait_sentence(2, "a disk is full")
    assert rung == "Commands of partition 2 wait: a disk is full"
    assert wait_sentence(2, rung) == rung
    assert wait_sentence(3, rung) == f"Commands of partition 3 wait: {rung}"
