"""In which order what the topics tell is done again after a restore, so that each order goes its old way. Pure.

The log of commands tells their order by partition, and the events topic tells, by key, what happened to an order over
both doors. A change over HTTP is done when all that its order's queue has before it was done, a command when its reply
is the next of its queue. Both were so when they happened, so there always is a next one.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.models.records import Record, UnreadRecord, identity
from app.wire.announced import Announced
from app.wire.command_reader import DeadLetter, parse_record


@dataclass(frozen=True, slots=True)
class Handled:
    """A record of the commands topic. `reply`: None where the events topic has none."""

    partition: int
    record: Record
    reply: Announced | None


Step = Announced | Handled
"""A change over HTTP, or a command: the next thing to do."""


def steps(
    events: Sequence[Announced], commands: Mapping[int, Sequence[Handled]], known: Collection[bytes] = ()
) -> Iterator[Step]:
    """Yield what to do, one after the other. `events`: in the order of their offsets in each partition; `known`: the
    identities of commands that the restored state knows, whose repeats do nothing.

    Commands behind the last one that has a reply on the topic are left to the service, which may not have seen them.
    """
    return _Merge(events, commands, known).steps()


class _Merge:
    def __init__(
        self, events: Sequence[Announced], commands: Mapping[int, Sequence[Handled]], known: Collection[bytes]
    ) -> None:
        self._queues: dict[str, deque[Announced]] = defaultdict(deque)
        for event in events:
            self._queues[event.key].append(event)
        self._logs = {partition: deque(_with_replies(log)) for partition, log in commands.items()}
        self._known = set(known)
        self._copies = Counter(identity(it.record) for log in self._logs.values() for it in log if it.reply)

    def steps(self) -> Iterator[Step]:
        keys = set(self._queues)
        while keys or any(self._logs.values()):
            for key in keys:
                yield from self._changes(key)
            taken = [log for log in self._logs.values() if log and self._is_next(log[0])]
            if not taken:
                # What waits for each other has lost what tells its order: a log or a queue has a gap.
                waiting = [log for log in self._logs.values() if log]
                taken = [min(waiting, key=lambda log: log[0].record.timestamp)] if waiting else []
            keys = set()
            for log in taken:
                yield (command := self._take(log))
                if command.reply is not None:
                    keys.add(command.reply.key)
        for queue in self._queues.values():
            yield from (event for event in queue if event.has_order)

    def _changes(self, key: str) -> Iterator[Announced]:
        queue = self._queues[key]
        while queue and queue[0].has_order:
            yield queue.popleft()

    def _take(self, log: deque[Handled]) -> Handled:
        command = log.popleft()
        self._known.add(identity(command.record))
        if command.reply is not None:
            self._copies[identity(command.record)] -= 1
            queue = self._queues[command.reply.key]
            if command.reply in queue:  # else one that had to go before its turn
                queue.remove(command.reply)
        return command

    def _is_next(self, command: Handled) -> bool:
        if command.reply is not None:
            queue = self._queues[command.reply.key]
            return bool(queue) and queue[0] is command.reply
        if isinstance(command.record, UnreadRecord):
            return True
        if identity(command.record) in self._known:
            return True  # a duplicate, which does nothing
        if self._copies[identity(command.record)]:
            return False  # a duplicate: the copy that has the reply was the first
        found = parse_record(command.record.value)
        return isinstance(found, DeadLetter) or not self._queues.get(found.order_id or "")


def _with_replies(log: Sequence[Handled]) -> Sequence[Handled]:
    last = max((place for place, command in enumerate(log) if command.reply is not None), default=-1)
    return log[: last + 1]
