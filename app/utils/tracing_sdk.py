"""OpenTelemetry's SDK as the service sets it up. Only tracing_export.py imports this module: the SDK is an extra."""

import logging
import random
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from app.utils import tracing
from app.utils.build import VERSION

_LIBRARY = "opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal"
"""The loggers that have a line for each batch that fails, and for spans that find the queue full."""
_QUEUE = _LIBRARY[1]


def provider(instance: str, lose: Callable[[str], None]) -> TracerProvider:
    """Return what makes tracers, with its thread started. `instance`: this process; `lose` hears why spans are lost.

    Sampler, queue and collector are as OpenTelemetry's variables say. Raises ValueError for one that cannot be used.
    """
    made = TracerProvider(resource=_resource(instance), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(_Telling(OTLPSpanExporter(), lose)))
    return made


class RatioIds(RandomIdGenerator):
    """The ids of new traces, where the sampler takes a share of them by their ids.

    What it does: it tells by a draw whether to begin a new trace, and then gives it an id that the sampler takes.
    What it bought: a request that is not sampled takes 1.5 us for it; to ask the sampler takes 9.9 (2026-11-30).
    Fails without it: test_a_ratio_is_drawn_before_a_span_is_begun.
    """

    def __init__(self, bound: int) -> None:
        """`bound`: the sampler takes an id whose last 64 bits are below it."""
        self._bound = bound

    def draw(self) -> bool:
        """Tell whether to begin a new trace."""
        return random.getrandbits(64) < self._bound

    def generate_trace_id(self) -> int:
        return random.getrandbits(64) << 64 | random.randrange(1, max(self._bound, 2))  # noqa: S311 - no secret

    def is_trace_id_random(self) -> bool:
        return False


def use(made: TracerProvider) -> None:
    """Make the spans of this process by this provider."""
    sampler = made.sampler
    root = getattr(sampler, "_root", sampler)  # of a ParentBased, which has no other name for it
    asks_parent = isinstance(sampler, ParentBased)
    if isinstance(root, TraceIdRatioBased):
        made.id_generator = ids = RatioIds(root.bound)
        tracing.use(made.get_tracer("order-service", VERSION), ids.draw, asks_parent=asks_parent)
    else:
        tracing.use(made.get_tracer("order-service", VERSION), asks_parent=asks_parent)


def _resource(instance: str) -> Resource:
    """Return who makes the spans: what the variables say, else this service."""
    ours = {"service.name": "order-service", "service.version": VERSION, "service.instance.id": instance}
    return Resource.create(ours).merge(OTELResourceDetector().detect())


class _Telling(SpanExporter):
    """An exporter that tells when spans are lost, in place of the lines that the library logs each time."""

    def __init__(self, exporter: SpanExporter, lose: Callable[[str], None]) -> None:
        self._exporter = exporter
        self._lose = lose
        self._last_line = ""
        self._lines = _Lines(self)
        for name in _LIBRARY:
            logging.getLogger(name).addFilter(self._lines)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lose(self._last_line)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
        for name in _LIBRARY:
            logging.getLogger(name).removeFilter(self._lines)

    def hear(self, record: logging.LogRecord) -> None:
        """Take a line of the library."""
        if record.levelno >= logging.WARNING:
            self._last_line = record.getMessage()
            if record.name == _QUEUE:
                self._lose(self._last_line)


class _Lines(logging.Filter):
    """Keeps the lines out of the log."""

    def __init__(self, listener: _Telling) -> None:
        super().__init__()
        self._listener = listener

    def filter(self, record: logging.LogRecord) -> bool:
        self._listener.hear(record)
        return False
