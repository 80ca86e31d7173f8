"""Sends the spans of this process to a collector, by OpenTelemetry's SDK and its exporter for OTLP over HTTP.

Both are an extra of the installation (requirements-tracing.txt), imported only where TRACING asks for them. The SDK
reads OpenTelemetry's own variables: where the collector is, which traces are sampled, how large queue and batches are.
Ended spans wait in the SDK's queue, which has a bound, for its thread. A collector that is away or slow costs spans and
an alarm, never a request.
"""

import threading
from typing import TYPE_CHECKING

from app.utils import tracing
from app.utils.alarms import Alarms

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

LOST = "spans_lost"
UNUSABLE = "tracing_unusable"
FLUSH_SECONDS = 2.0


class TraceExport:
    """The spans of one process on their way to the collector."""

    def __init__(self, mode: str, alarms: Alarms) -> None:
        """`mode`: the setting TRACING."""
        self._mode = mode
        self._alarms = alarms
        self._provider: TracerProvider | None = None

    def start(self) -> None:
        """Make spans from now on, if TRACING says so. Starts a thread: call it after the fork."""
        if self._mode != "otlp":
            return
        from app.utils.tracing_sdk import provider, use  # the extra

        try:
            self._provider = provider(self._alarms.holder, self._lose)
        except ValueError as error:
            self._alarms.happened(UNUSABLE, f"No span is made: a variable of OpenTelemetry cannot be used: {error}")
            return
        use(self._provider)

    def stop(self) -> None:
        """Make no more spans, and send those that wait, for FLUSH_SECONDS at the longest."""
        if self._provider is None:
            return
        tracing.use(None)
        flush = threading.Thread(target=self._provider.shutdown, name="spans-flush", daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)

    def _lose(self, reason: str) -> None:
        """Ring while spans are lost; the alarm ends when none were for a minute."""
        sentence = "Spans are lost: the collector (OTEL_EXPORTER_OTLP_ENDPOINT) is away, refuses them or is too slow"
        self._alarms.ring(LOST, sentence, reason)
