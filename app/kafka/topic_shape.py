"""Topics with fewer partitions or replicas than they should have: no client notices, and an operator can mend it."""

from collections.abc import Callable, Mapping

from app.kafka.broker_view import TopicView
from app.services.waiting import listed


def few_partitions(topics: Mapping[str, TopicView], wanted: int) -> str | None:
    """Return what to say of topics that have fewer partitions than the service makes."""
    few = [f"{name} has {len(it.leaders)}" for name, it in topics.items() if 0 < len(it.leaders) < wanted]
    if not few:
        return None
    return f"Topics with fewer partitions than KAFKA_TOPIC_PARTITIONS ({wanted}), made by something else: {listed(few)}"


def few_replicas(topics: Mapping[str, TopicView], brokers: Callable[[], int]) -> str | None:
    """Return what to say of topics of one replica in a cluster of more than one broker; asks only where needed."""
    alone = [name for name, it in topics.items() if it.replicas == 1]
    count = brokers() if alone else 1
    if count < 2:
        return None
    return (
        f"Topics with one replica on {count} brokers: {listed(alone)}; its broker gone a partition stops, its disk "
        "gone it is lost (KAFKA_TOPIC_REPLICATION is for topics made from now on)"
    )
