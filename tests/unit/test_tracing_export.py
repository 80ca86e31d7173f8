"""Spans on their way to a collector, by the SDK as the service sets it up; no servers but the collector."""

import logging
import random
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import Decision, SamplingResult, TraceIdRatioBased

from app.config.config import Settings, SettingsError
from app.utils import tracing
from app.utils.alarms import Alarms
from app.utils.tracing_export import LOST, UNUSABLE, TraceExport
from tests.harness.collector import Collector, collecting
from tests.harness.waiting import until

PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield found
    tracing.use(None)


def make_span(parent: str | None = PARENT) -> bool:
    """Make a span; tell whether it is recorded."""
    span = tracing.begin("work", tracing.INTERNAL, parent)
    if span is not None:
        span.end({"order.outcome": "done"})
    return span is not None


def test_what_waits_is_sent_when_it_stops(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    alarms = Alarms()
    export = TraceExport("otlp", alarms)
    export.start()
    assert make_span()
    assert collector.spans() == []
    export.stop()
    [span] = collector.spans()
    assert (span.trace_id, span.parent, span.attributes) == ("ab" * 16, "cd" * 8, {"order.outcome": "done"})
    assert (span.service, span.instance) == ("order-service", alarms.holder)
    assert not make_span()


def test_sampler_and_name_are_set_by_opentelemetrys_variables(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "orders-eu")
    export = TraceExport("otlp", Alarms())
    export.start()
    assert (make_span(), make_span(None), make_span(PARENT[:-1] + "0")) == (True, False, False)
    export.stop()
    assert [span.service for span in collector.spans()] == ["orders-eu"]


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
def test_a_ratio_is_drawn_before_a_span_is_begun(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    """The sampler is asked for those alone that were drawn, and takes each of them."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    asked: list[bool] = []
    decide = TraceIdRatioBased.should_sample

    def should_sample(*arguments: Any, **named: Any) -> SamplingResult:
        result = decide(*arguments, **named)
        asked.append(result.decision is Decision.RECORD_AND_SAMPLE)
        return result

    monkeypatch.setattr(TraceIdRatioBased, "should_sample", should_sample)
    export = TraceExport("otlp", Alarms())
    export.start()
    monkeypatch.setattr(random, "getrandbits", random.Random(1).getrandbits)
    made = [make_span(None) for _ in range(400)]
    export.stop()
    assert asked == [True] * sum(made)
    assert 60 < sum(made) < 140
    assert len({span.trace_id for span in collector.spans()}) == sum(made)


@pytest.mark.parametrize("queue", [{}, {"OTEL_BSP_MAX_QUEUE_SIZE": "2", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1"}])
def test_spans_that_are_lost_are_an_alarm_and_not_lines(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, queue: dict[str, str]
) -> None:
    """Because the collector refuses them, or because it is slow and more come."""
    for name, value in queue.items():
        monkeypatch.setenv(name, value)
    asked, ends = threading.Event(), threading.Event()

    def refuse() -> int:
        asked.set()
        ends.wait(30 if queue else 0)
        return 400

    collector.answer = refuse
    alarms = Alarms()
    export = TraceExport("otlp", alarms)
    export.start()
    try:
        make_span()
        assert asked.wait(30)
        for _ in range(5):
            make_span()
        until(lambda: LOST in alarms.all(), "the alarm", 20.0)
    finally:
        ends.set()
    export.stop()
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == ["app.utils.alarms"]


def test_a_collector_that_hangs_holds_no_end_up(collector: Collector) -> None:
    asked, ends = threading.Event(), threading.Event()

    def hang() -> int:
        asked.set()
        ends.wait(60)
        return 503

    collector.answer = hang
    export = TraceExport("otlp", Alarms())
    export.start()
    make_span()
    assert asked.wait(30)
    export.stop()
    assert not ends.is_set()
    ends.set()


def test_a_variable_that_cannot_be_used_is_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")  # fewer than in a batch
    alarms = Alarms()
    export = TraceExport("otlp", alarms)
    export.start()
    assert alarms.all()[UNUSABLE].startswith("No span is made: a variable of OpenTelemetry cannot be used: ")
    assert not make_span()
    export.stop()


def test_nothing_is_imported_and_no_span_is_made_while_tracing_is_off() -> None:
    """The SDK need not be installed."""
    export = TraceExport("off", Alarms())
    export.start()
    assert not tracing.is_on()
    assert not make_span()
    export.stop()


def test_without_the_extra_the_settings_are_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load({"TRACING": "otlp"}).tracing == "otlp"
    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    with pytest.raises(SettingsError) as refused:
        Settings.load({"TRACING": "otlp"})
    assert str(refused.value) == (
        "TRACING must be off while the packages of requirements-tracing.txt are not installed (it is 'otlp')"
    )
