"""Spans, by OpenTelemetry's API. The rooms know OpenTelemetry by this module alone; docs/tracing.md has the spans.

Tracing is off until `use` is given a tracer. A span that is not recorded is None here, whether tracing is off or its
trace is not sampled: nothing is built for it, and its parent is handed on as it came. No span is OpenTelemetry's
"current" one, because the requests of a worker share a thread: whoever begins a span hands it on.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace import Span as ApiSpan

SERVER, CONSUMER, PRODUCER, INTERNAL = SpanKind.SERVER, SpanKind.CONSUMER, SpanKind.PRODUCER, SpanKind.INTERNAL

Attributes = Mapping[str, str | int | float | Sequence[str]]

_NO_PARENT = Context()

_UNSAMPLED = tuple("02468ace")  # the last digit of the flags

_tracer: Tracer | None = None
_draw: Callable[[], bool] = bool
_asks_parent = False


class Span:
    """A span that is recorded. Whoever begins it ends it, once. No attribute may hold data about a person."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: ApiSpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        """What its children have as their parent, in W3C's form."""

    def say(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._span.set_attributes(attributes)

    def note(self, event: str, attributes: Attributes | None = None, at: float | None = None) -> None:
        """Add an event. `at`: seconds since 1970, now by default."""
        self._span.add_event(event, attributes, None if at is None else int(at * 1e9))

    def link(self, other: "Span") -> None:
        """Link the span to another one."""
        self._span.add_link(other._span.get_span_context())

    def end(self, attributes: Attributes, error: str | None = None) -> None:
        """End it now. `error`: which kind of error it ended with, a word of few."""
        self.say(attributes)
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


of_request: ContextVar[Span | None] = ContextVar("of_request", default=None)
"""The span of the request that the task or thread answers."""


def use(tracer: Tracer | None, draw: Callable[[], bool] = lambda: True, *, asks_parent: bool = False) -> None:
    """Make spans by this tracer from now on; None: make none.

    Where the sampler is asked takes ten times as long as here: `draw` tells whether to begin a new trace, true where
    only the sampler knows; `asks_parent`: the sampler drops what a parent does not sample.
    """
    global _tracer, _draw, _asks_parent
    _tracer, _draw, _asks_parent = tracer, draw, asks_parent


def is_on() -> bool:
    """Tell whether there may be spans."""
    return _tracer is not None


def begin(
    name: str,
    kind: SpanKind,
    parent: str | None,
    attributes: Attributes | None = None,
    age: float | None = None,
) -> Span | None:
    """Begin a span, if its trace is sampled. `parent`: a valid traceparent; None begins a trace.

    `age`: seconds since the work began; None where it begins now.

    What is not sampled costs next to nothing, `attributes` excepted: give them where a span is likely.
    """
    if _tracer is None:
        return None
    if not _draw() if parent is None else _asks_parent and parent.endswith(_UNSAMPLED):
        return None
    start = None if age is None else time.time_ns() - int(age * 1e9)
    span = _tracer.start_span(name, _NO_PARENT if parent is None else _context(parent), kind, start_time=start)
    if not span.is_recording():
        return None
    if attributes:
        span.set_attributes(attributes)
    return Span(span)


def _context(traceparent: str) -> Context:
    _, trace_id, span_id, flags = traceparent.split("-")
    remote = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(remote), _NO_PARENT)
