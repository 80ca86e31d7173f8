"""An outbox relay as it is usually written: select a batch, send it, flush, delete it; kafka-python as it comes.

A thread of `usual_outbox`, or by itself: `python -m tests.benchmarks.peers.relay`.
"""

import os
import time
from typing import NoReturn

import psycopg2
from kafka import KafkaProducer

POLL_SECONDS = 0.02
SELECT = (
    "SELECT id, event_id::text, aggregateid, payload, type, correlation_id, version::text "
    "FROM outbox ORDER BY id LIMIT %s"
)


def relay() -> NoReturn:
    """Relay the outbox of the environment's database, batch by batch, for ever."""
    producer = KafkaProducer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"], acks="all")
    topic, batch = os.environ["KAFKA_EVENTS_TOPIC"], int(os.environ["RELAY_BATCH"])
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    while True:
        with connection, connection.cursor() as cursor:
            cursor.execute(SELECT, (batch,))
            rows = cursor.fetchall()
            sent = []
            for _, event_id, key, payload, *named in rows:
                texts = zip(("event_id", "type", "correlation_id", "version"), (event_id, *named), strict=True)
                headers = [(name, text.encode()) for name, text in texts if text is not None]
                sent.append(producer.send(topic, key=key.encode(), value=bytes(payload), headers=headers))
            producer.flush()
            for future in sent:
                future.get(timeout=0)  # flush returns although a record failed
            if rows:
                cursor.execute("DELETE FROM outbox WHERE id = ANY (%s)", ([row[0] for row in rows],))
        if not rows:
            time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    relay()
