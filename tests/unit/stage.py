"""A consumer between its scripted log and store."""

from typing import Any

from app.kafka.command_trouble import Breaker
from app.kafka.consumer import CommandConsumer
from app.models.errors import DatabaseTrouble
from app.models.records import StoredOffset
from app.utils.alarms import Alarms
from tests.unit.scripted_commands import TOPIC, ScriptedLog, ScriptedStore

IDENTITY_DAYS = 30


class Stage:
    """A consumer between its fakes."""

    def __init__(self, records: dict[int, list[int]], stored: dict[int, int] | None = None, **log: Any) -> None:
        self.log = ScriptedLog(records, **log)
        self.store = ScriptedStore({partition: StoredOffset(TOPIC, at) for partition, at in (stored or {}).items()})
        self.alarms = Alarms()
        self.start_anew()
        self.log.assign(*records)

    def start_anew(self) -> "Stage":
        """Go on with a new consumer, as after trouble with the client."""
        self.consumer = CommandConsumer(self.log, self.store, self.store, self.alarms, Breaker(), IDENTITY_DAYS)
        return self

    def play(self, steps: int = 12) -> "Stage":
        """Step as often as any of these stories needs; trouble is what the thread's loop makes of it."""
        for _ in range(steps):
            self.step()
        return self

    def step(self) -> bool:
        try:
            self.consumer.step()
        except DatabaseTrouble:
            return False
        return True

    def look(self) -> "Stage":
        """Look again, and play on."""
        self.consumer.recheck_offsets()
        return self.play()

    def handled(self, partition: int = 0) -> list[int]:
        return [offset for place, offset in self.store.handled if place == partition]
