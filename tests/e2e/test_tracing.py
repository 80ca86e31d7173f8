"""TRACING=otlp as it runs: real processes, a collector on the network, and what happens when that is away."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.builders import create_body
from tests.harness.collector import Collected, Collector, collecting
from tests.harness.found import query
from tests.harness.service import Instance
from tests.harness.stack import Stack
from tests.harness.trace_picture import picture
from tests.harness.waiting import until
from tools.stack.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CONSUMER = ROOT / "docs" / "examples" / "traced_consumer.py"
PICTURE = ROOT / "docs" / "images" / "trace.svg"
LOST = "Spans are lost: the collector"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def traced(url: str, **more: str) -> dict[str, str]:
    return {"TRACING": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": url, **SOON, **more}


def create(instance: Instance, traceparent: str | None = None) -> int:
    """Make an order; return the status of the answer."""
    headers = {"Content-Type": "application/json"} | ({} if traceparent is None else {"traceparent": traceparent})
    asked = urllib.request.Request(f"{instance.url}/createOrder", json.dumps(create_body()).encode(), headers)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return int(answer.status)


def test_one_trace_goes_from_a_call_through_the_outbox_to_a_consumer(stack: Stack, collector: Collector) -> None:
    """Of two workers, which send what waits at their end. UPDATE_IMAGES=1 draws docs/images/trace.svg."""
    settings = traced(collector.url, OTEL_BSP_SCHEDULE_DELAY="600000")
    [instance] = stack.start(1, WEB_CONCURRENCY="2", **settings)
    command = [sys.executable, str(CONSUMER), "3"]
    environment = os.environ | stack.settings | settings
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as consumer:
        assert consumer.stdout is not None
        for _ in range(3):  # one after the other: the first one waits for the relay and the reader to begin
            assert create(instance) == 201
            assert consumer.stdout.readline().startswith("ORDER_CREATED 00-")
        assert consumer.wait(60) == 0
    *_, read = sorted(collector.spans(), key=lambda span: span.start)
    assert [create(instance) for _ in range(7)] == [201] * 7
    until(lambda: query(stack.database_url, "SELECT count(*) FROM outbox") == [(0,)], "the sending of all events")
    assert instance.terminate() == 0
    calls = {span.span_id: span for span in collector.spans("POST /createOrder")}
    records = {span.span_id: span for span in collector.spans(f"send {stack.events_topic}")}
    assert (len(calls), len(records)) == (10, 10)
    sent = records[read.parent]
    call = calls[sent.parent]
    assert call.parent == ""
    assert {span.trace_id for span in (call, sent, read)} == {call.trace_id}
    assert (call.service, sent.service, read.service) == ("order-service", "order-service", "notifications")
    assert re.fullmatch(r".+:\d+:[0-9a-f]{8}", call.instance), (
        "the name that the process has in `flask orders instances`"
    )
    if "UPDATE_IMAGES" in os.environ:
        PICTURE.write_text(picture("One order: the call, its event, a reader of it", named(stack, call, sent, read)))


def named(stack: Stack, *spans: Collected) -> list[Collected]:
    """Return the spans with the names that topics have by default."""
    fields = [
        dict(zip(span.__slots__, (getattr(span, name) for name in span.__slots__), strict=True)) for span in spans
    ]
    return [Collected(**each | {"name": each["name"].replace(stack.events_topic, "order_events")}) for each in fields]


def test_a_collector_that_is_away_costs_no_call_and_is_said_once(stack: Stack) -> None:
    """It is found again when it is back."""
    port = free_port()
    [instance] = stack.start(1, **traced(f"http://127.0.0.1:{port}", OTEL_EXPORTER_OTLP_TIMEOUT="1"))
    assert [create(instance) for _ in range(20)] == [201] * 20
    until(lambda: LOST in instance.log_text(), "the alarm")
    assert [create(instance) for _ in range(20)] == [201] * 20
    with collecting(port) as collector:
        until(lambda: create(instance) == 201 and collector.spans("POST /createOrder"), "spans once more")
    assert instance.log_text().count(LOST) == 1
    assert "opentelemetry" not in instance.log_text(), "the library's own lines"
