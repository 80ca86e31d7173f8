"""The spans of a batch of commands: one for each command of a sampled trace, and one for the batch.

A command's span is a child of what its sender names. A command without a trace belongs to the batch's trace, which
begins with the batch and is sampled like every new trace. If that one is not sampled but a command's is, the batch's
span is a child of the first such command. Each command's span links to the batch's, which says when the parts of the
work were done.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from app.database.batches import BatchEffects, Received
from app.models.records import Batch, ReceivedCommand, Record
from app.utils import tracing
from app.utils.tracing import CONSUMER, INTERNAL, Attributes, Span
from app.wire.traces import traceparent_of

DONE, REPEATED, DEAD_LETTER = "done", "repeated", "dead_letter"
_ERRORS = ("internal_error", DEAD_LETTER)

Letter = tuple[Record, str]


class BatchSpans:
    """The spans of one batch; none while tracing is off.

    `commands`: those that were read. A command whose span is recorded has that span as its trace.
    """

    def __init__(self, batch: Batch, commands: Sequence[Received], letters: Sequence[Letter]) -> None:
        self.commands = commands
        self._outcomes: Mapping[int, str] = {}
        self._spans: dict[int, Span] = {}  # by offset
        self._whole: Span | None = None
        if tracing.is_on():
            self._begin(batch, letters)

    def note(self, done: str) -> None:
        """Note that a part of the work is done."""
        if self._whole is not None:
            self._whole.note(done)

    def decided(self, effects: BatchEffects) -> None:
        """Take what became of each command."""
        if self._spans:
            done = {record.offset: DONE for _, _, record, _ in effects.changes}
            unfulfilled = {record.offset: outcome for record, _, _, outcome in effects.unfulfilled}
            self._outcomes = done | unfulfilled | {record.offset: DEAD_LETTER for record, _ in effects.dead_letters}

    def end(self, error: str | None = None) -> None:
        """End all spans. `error`: what kind of error ended the batch; then nothing of it is committed."""
        for offset, span in self._spans.items():
            outcome = error or self._outcomes.get(offset, REPEATED)
            span.end({"order.outcome": outcome}, outcome if error or outcome in _ERRORS else None)
        if self._whole is not None:
            self._whole.end({}, error)

    def _begin(self, batch: Batch, letters: Sequence[Letter]) -> None:
        whole = {**_place(batch), "messaging.batch.message_count": len(batch.records)}
        self._whole = tracing.begin(f"commit {batch.topic}", INTERNAL, None, whole)
        root = None if self._whole is None else self._whole.traceparent
        for record, _ in letters:
            self._begin_one(batch, record, None, traceparent_of(record.headers) or root)
        self.commands = [
            (record, self._begin_one(batch, record, command, command.traceparent or root) or command)
            for record, command in self.commands
        ]
        if self._whole is None and self._spans:
            first = next(iter(self._spans.values()))
            self._whole = tracing.begin(f"commit {batch.topic}", INTERNAL, first.traceparent, whole)
        if self._whole is not None:
            for span in self._spans.values():
                span.link(self._whole)

    def _begin_one(
        self, batch: Batch, record: Record, command: ReceivedCommand | None, parent: str | None
    ) -> ReceivedCommand | None:
        """Begin the span of a record, if its trace is sampled; return its command as it goes on in that span."""
        span = None if parent is None else tracing.begin(f"process {batch.topic}", CONSUMER, parent)
        if span is None:
            return None
        self._spans[record.offset] = span
        span.say({**_place(batch), "messaging.kafka.offset": record.offset})
        if command is None:
            return None
        span.say({"order.command": command.type, "messaging.message.conversation_id": command.correlation_id})
        return replace(command, traceparent=span.traceparent)


def _place(batch: Batch) -> Attributes:
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": batch.topic,
        "messaging.destination.partition.id": str(batch.partition),
    }


@contextmanager
def spans_of(batch: Batch, commands: Sequence[Received], letters: Sequence[Letter]) -> Iterator[BatchSpans]:
    """Give the body the spans of the batch, and end them with it."""
    spans = BatchSpans(batch, commands, letters)
    try:
        yield spans
    except Exception as error:
        spans.end(type(error).__name__)
        raise
    spans.end()
