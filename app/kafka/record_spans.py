"""The spans of records on their way to a topic: each from the commit of its row to its acknowledgement."""

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace

from app.models.outgoing import Outgoing
from app.utils import tracing
from app.utils.tracing import PRODUCER, Span
from app.wire.traces import TRACEPARENT, traceparent_of

UNACKNOWLEDGED = "unacknowledged"


class RecordSpans:
    """The spans of the records that are with one producer; none while tracing is off."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._open: dict[uuid.UUID, Span] = {}  # by event id

    def begin(self, records: Sequence[tuple[int, Outgoing]]) -> Sequence[tuple[int, Outgoing]]:
        """Return the records, by partition, as they leave: a span that is recorded is what the consumer continues."""
        if not tracing.is_on():
            return records
        return [
            (partition, record if trace is None else self._begin(partition, record, trace))
            for partition, record in records
            for trace in (traceparent_of(record.headers),)
        ]

    def acknowledged(self, places: Iterable[tuple[Outgoing, int]]) -> None:
        """End the spans of these records, which have these offsets in the topic; a negative one is not known."""
        if self._open:
            for record, offset in places:
                span = self._open.pop(record.event_id, None)
                if span is not None:
                    span.end({"messaging.kafka.offset": offset} if offset >= 0 else {})

    def close(self) -> None:
        """End the spans that are left: the producer will not say any more what became of their records."""
        while self._open:
            self._open.popitem()[1].end({}, UNACKNOWLEDGED)

    def _begin(self, partition: int, record: Outgoing, trace: str) -> Outgoing:
        age = time.monotonic() - record.inserted_at
        span = tracing.begin(f"send {self._topic}", PRODUCER, trace, age=age)
        if span is None:
            return record
        named = {name: value.decode() for name, value in record.headers}
        span.say(
            {
                "messaging.system": "kafka",
                "messaging.operation.type": "send",
                "messaging.operation.name": "send",
                "messaging.destination.name": self._topic,
                "messaging.destination.partition.id": str(partition),
                "messaging.message.id": named["event_id"],
                "messaging.message.conversation_id": named["correlation_id"],
                "messaging.kafka.message.key": (record.key or b"").decode(),
                "order.event": named["type"],
            }
        )
        self._open[record.event_id] = span
        others = [header for header in record.headers if header[0] != TRACEPARENT]
        return replace(record, headers=(*others, (TRACEPARENT, span.traceparent.encode())))
