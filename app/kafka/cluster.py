"""Whether a cluster can be one that was known before and was made anew: nothing in it may be older."""

from contextlib import closing
from datetime import datetime

from kafka import TopicPartition
from kafka.protocol.consumer import OffsetSpec

from app.config.config import Settings
from app.kafka import clients

ASK_MS = 3_000


def holds_only_younger(settings: Settings, topic: str, since: datetime) -> bool:
    """Tell whether the topic is missing, or no record that it ever had is older.

    In each partition the offset 0 is the next one, or is that of such a record: where records were deleted nothing is
    known of them. Blocks for some seconds; raises KafkaError.
    """
    with closing(clients.admin(settings, ASK_MS)) as admin:
        described = next((found for found in admin.describe_topics() if found["name"] == topic), None)
        if described is None:
            return True
        places = [TopicPartition(topic, partition["partition_index"]) for partition in described["partitions"]]
        since_ms = int(since.timestamp() * 1000)
        ends, younger = (
            admin.list_partition_offsets(dict.fromkeys(places, spec), timeout_ms=ASK_MS)
            for spec in (OffsetSpec.LATEST, since_ms)
        )
    return all(ends[place].offset == 0 or (place in younger and younger[place].offset == 0) for place in places)
