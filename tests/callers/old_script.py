"""A client of the field on kafka-python 2.0.2; runs in an environment of its own and imports nothing of ours.

`commit BOOTSTRAP GROUP TOPIC OFFSET…` commits an offset for each partition, as the service before this one did.
`talk BOOTSTRAP TOPIC…` sends each line of stdin, `{"topic": …, "value": …}`, without key and headers, and prints every
record of the topics as a line of JSON, until stdin ends. It dies of a record that is not JSON, as the real ones do.
"""

import json
import sys
import threading

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata


def commit(bootstrap: str, group: str, topic: str, *offsets: str) -> None:
    """Commit the offsets of partitions 0, 1, …"""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    places = [TopicPartition(topic, partition) for partition in range(len(offsets))]
    consumer.assign(places)
    consumer.commit({place: OffsetAndMetadata(int(offset), "") for place, offset in zip(places, offsets, strict=True)})
    consumer.close(autocommit=False)


def send_lines(bootstrap: str, ended: threading.Event) -> None:
    """Send what stdin has; returns when it ended and all is sent."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, value_serializer=lambda value: json.dumps(value).encode())
    for line in sys.stdin:
        message = json.loads(line)
        producer.send(message["topic"], message["value"])
        producer.flush()
    producer.close()
    ended.set()


def talk(bootstrap: str, *topics: str) -> None:
    """Send and read until stdin ends."""
    ended = threading.Event()
    threading.Thread(target=send_lines, args=(bootstrap, ended), daemon=True).start()
    consumer = KafkaConsumer(
        *topics, bootstrap_servers=bootstrap, auto_offset_reset="earliest", value_deserializer=json.loads
    )
    while not ended.is_set():
        for records in consumer.poll(timeout_ms=50).values():
            for it in records:
                row = {"topic": it.topic, "partition": it.partition, "offset": it.offset, "value": it.value}
                print(json.dumps(row), flush=True)
    consumer.close()


if __name__ == "__main__":
    (commit if sys.argv[1] == "commit" else talk)(*sys.argv[2:])
