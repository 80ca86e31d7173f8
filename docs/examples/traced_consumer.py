"""A reader of `order_events` that goes on with the trace of each record: one span a record, as the record's child.

Run it against `make run`, beside a collector on port 4318 (docs/tracing.md):

    .venv/bin/python docs/examples/traced_consumer.py

It ends after the number of records that is given, else when it is interrupted. Its spans go where OpenTelemetry's
variables say.
"""

import argparse
import json
import os

from addresses import address
from kafka import KafkaConsumer
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

BROKERS = address("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
EVENTS = os.environ.get("KAFKA_EVENTS_TOPIC", "order_events")


def main(count: int | None) -> None:
    """Read so many records, from where the group stands; a new group from the oldest."""
    provider = TracerProvider(resource=Resource.create({"service.name": "notifications"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer, propagator = provider.get_tracer("example"), TraceContextTextMapPropagator()
    consumer = KafkaConsumer(
        EVENTS,
        bootstrap_servers=BROKERS,
        group_id="traced-consumer",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        for number, record in enumerate(consumer, 1):
            headers = {name: value.decode() for name, value in record.headers}
            parent = propagator.extract(headers)  # an empty context where the record belongs to no trace
            about = {"messaging.system": "kafka", "messaging.destination.name": EVENTS}
            with tracer.start_as_current_span(f"process {EVENTS}", parent, SpanKind.CONSUMER, attributes=about):
                body = json.loads(record.value)
                print(body["type"], headers.get("traceparent", "in no trace"), flush=True)
            consumer.commit()  # after the work, so that a crash loses no record
            if number == count:
                return
    finally:
        consumer.close()
        provider.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, help="how many records to read")
    main(parser.parse_args().count)
