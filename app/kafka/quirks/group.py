"""A member of a consumer group between its polls. The coordinator inside the consumer has no public side."""

from typing import Any

from kafka import KafkaConsumer
from kafka.errors import GroupAuthorizationFailedError


class HeartbeatRefused(Exception):
    """The broker refuses a member's heartbeat for good. No KafkaError: those make kafka-python ask again."""


def heed_refused_heartbeats(consumer: KafkaConsumer) -> None:
    """Have the next poll raise HeartbeatRefused when the right to the group is gone.

    kafka-python by itself asks ten times a second until the session is over, and polls as if nothing was wrong.
    Fails without it: test_a_member_whose_heartbeat_is_refused_hears_of_it_at_once.
    """
    coordinator = consumer._coordinator
    handle = coordinator._handle_heartbeat_response

    def heed(*arguments: Any) -> Any:
        try:
            return handle(*arguments)
        except GroupAuthorizationFailedError as error:
            raise HeartbeatRefused(str(error)) from error

    coordinator._handle_heartbeat_response = heed


def finish_joining(consumer: KafkaConsumer) -> None:
    """Take up a join that outlived the poll it began in.

    Where only newer metadata asked for the join, kafka-python forgets it: the group thinks that the member has its
    partitions, and the member has none, sends no heartbeats and never notices.
    Fails without it: test_joins_that_outlive_the_poll_they_began_in_are_taken_up.
    """
    coordinator = consumer._coordinator
    if coordinator.rejoining:
        coordinator.request_rejoin()


def poll_ms(consumer: KafkaConsumer, longest_ms: int) -> int:
    """Return how long a poll may wait: until the next heartbeat is due, and not at all while one is not answered.

    kafka-python would not wait then either, but ask a thousand times a second, and remember each time until the fetch
    under way ends. In a network that swallows everything that costs 50 MiB in the 10 s that a request may take.
    Fails without it: test_a_member_does_not_spin_while_its_heartbeat_is_not_answered.
    """
    coordinator = consumer._coordinator
    if coordinator.need_rejoin():
        return longest_ms
    return int(min(longest_ms, max(coordinator.time_to_next_poll() * 1000, 0)))
