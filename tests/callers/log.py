"""A topic in memory, as the examples see it through kafka-python: for what a real one does once in a blue moon."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

Event = Mapping[str, Any]


@dataclass
class Log:
    """Both a consumer and a producer. `answer` returns the events that a command leads to; it may raise.

    `partitions` has the events of each partition; of those before `beginnings` none is left.
    """

    topic: str
    answer: Callable[[Event], Iterable[Event]] = lambda _: ()
    partitions: dict[int, list[Event]] = field(default_factory=lambda: {0: []})
    beginnings: dict[int, int] = field(default_factory=dict)
    sent: list[bytes] = field(default_factory=list)
    _positions: dict[Any, int] = field(default_factory=dict)

    def send(self, _: str, value: bytes, key: bytes) -> Any:
        """Take a command and say so. The same bytes are answered once."""
        is_new = value not in self.sent
        self.sent.append(value)
        if is_new:
            self.partitions[max(self.partitions)] += self.answer(json.loads(value))
        return SimpleNamespace(get=lambda timeout: None)

    def commands(self) -> list[dict[str, Any]]:
        """Return the different commands that were sent."""
        return [json.loads(value) for value in dict.fromkeys(self.sent)]

    def partitions_for_topic(self, _: str) -> set[int]:
        return set(self.partitions)

    def assignment(self) -> set[Any]:
        return set(self._positions)

    def assign(self, places: Iterable[Any]) -> None:
        self._positions = {place: self._positions.get(place, len(self.partitions[place.partition])) for place in places}

    def seek(self, place: Any, offset: int) -> None:
        self._positions[place] = offset

    def seek_to_beginning(self, *places: Any) -> None:
        for place in places:
            self.seek(place, 0)

    def position(self, place: Any) -> int:
        return self._positions[place]

    def end_offsets(self, places: Iterable[Any]) -> dict[Any, int]:
        return {place: len(self.partitions[place.partition]) for place in places}

    def beginning_offsets(self, places: Iterable[Any]) -> dict[Any, int]:
        return {place: self.beginnings.get(place.partition, 0) for place in places}

    def poll(self, timeout_ms: int) -> dict[Any, list[Any]]:
        """Return all records from the positions on."""
        found = {}
        for place in self._positions:
            number = place.partition
            first = max(self._positions[place], self.beginnings.get(number, 0))
            events = self.partitions[number][first:]
            found[place] = [_record(number, offset, event) for offset, event in enumerate(events, first)]
            self._positions[place] = len(self.partitions[number])
        return found


def _record(number: int, offset: int, event: Event) -> Any:
    headers = [(name, str(event[name]).encode()) for name in ("event_id", "type", "version") if name in event]
    key, value = event.get("key", "").encode(), json.dumps(event).encode()
    return SimpleNamespace(partition=number, offset=offset, key=key, value=value, headers=headers)
