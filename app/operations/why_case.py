"""What the checks of `why` share: the question, what was found out so far, and the time that is left."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from app.config.config import Settings
from app.kafka.event_places import FoundRecord, GroupOffsets
from app.kafka.log_search import LogRecord
from app.kafka.operator import Place
from app.kafka.standing import Standing
from app.models.operator_errors import DatabaseUnusable, OperationFailed
from app.models.records import NO_ID, ReceivedCommand, identity_of, is_other_topic
from app.operations.guarded import NotAsked
from app.operations.why_facts import Facts, read
from app.operations.why_queries import Sought
from app.utils.deadline import Deadline
from app.utils.ids import reply_id
from app.wire.command_reader import DeadLetter, parse_record

CHECK_SECONDS = 2.0
ALL_SECONDS = 8.0

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Check:
    """One link of the chain. `ok`: None where it could not be asked; `says`: one sentence; `heals`: what to do if it is
    not ok, the command where there is one."""

    name: str
    ok: bool | None
    says: str
    evidence: Sequence[str] = ()
    heals: str | None = None


@dataclass(frozen=True, slots=True)
class SeenCommand:
    """A command as the log has it. `command` is a sentence if the record cannot be read; `event_id`: of its reply."""

    place: Place
    at: datetime
    hash: bytes
    event_id: UUID
    command: ReceivedCommand | str


@dataclass(frozen=True, slots=True)
class LastWord:
    """What was decided last about the id. `code`: of a refusal; `place`: of the command; `event_id`, `key`: of the
    event or reply, None where they are not known; `repeated_at`: when the same bytes came again."""

    at: datetime
    what: str
    code: str | None
    place: Place | None
    event_id: UUID | None
    key: str | None
    repeats: int = 0
    repeated_at: datetime | None = None


@dataclass(slots=True)
class Case:
    """One question. Looks that other checks need again are kept here.

    `place`: that of the command, if it is known; `event_place`: that of an event, if the id is one; `event_id`: if the
    id is that of an event or reply; `also`: ids that the event names; `command`: the command itself, if the log has
    shown it; `looked_at`: how many waiting records were read, by partition, and `looked_through`, whether these were
    all; `moved`: by how much the stored offsets moved in `moved_seconds`; `word`: what was decided last; `record`:
    where it lies on the events topic; `groups`: those that read the topic.
    """

    settings: Settings
    id: str
    place: Place | None
    event_place: Place | None = None
    event_id: UUID | None = None
    also: frozenset[str] = frozenset()
    deadline: Deadline = field(default_factory=lambda: Deadline(ALL_SECONDS))
    looked_first: float = field(default_factory=time.monotonic)
    facts: Facts | None = None
    standing: Standing | None = None
    command: SeenCommand | None = None
    looked_at: Mapping[int, int] = field(default_factory=dict)
    looked_through: bool = False
    moved: Mapping[int, int] = field(default_factory=dict)
    moved_seconds: float = 0.0
    word: LastWord | None = None
    record: FoundRecord | None = None
    groups: Sequence[GroupOffsets] = ()
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(thread_name_prefix="why"))

    def within(self, look: Callable[[], Found]) -> Found:
        """Return what the look finds within CHECK_SECONDS and the time that is left.

        A look blocks in a thread of its own, which ends when its client gives up. Raises NotAsked if time runs out
        first, and OperationFailed as the look does.
        """
        seconds = min(CHECK_SECONDS, self.deadline.remaining)
        if seconds <= 0:
            raise NotAsked("no time was left for it")
        try:
            return self._threads.submit(look).result(seconds)
        except TimeoutError:
            raise NotAsked(f"there was no answer within {seconds:.1f} s") from None

    def look_again(self, seconds: float) -> None:
        """Ask the tables once more, `seconds` after they were asked last, and note how far the stored offsets moved.

        Raises NotAsked and DatabaseUnusable.
        """
        before = self.known.stored

        def look() -> tuple[Facts, float]:
            time.sleep(max(0.0, seconds - (time.monotonic() - self.looked_first)))  # what moves shows after a while
            return read(self.settings, self.sought()), time.monotonic() - self.looked_first

        self.facts, self.moved_seconds = self.within(look)
        self.moved = {
            number: stored.next_offset - (before[number].next_offset if number in before else 0)
            for number, stored in self.facts.stored.items()
        }
        self.looked_first += self.moved_seconds

    def close(self) -> None:
        """Wait for no look that is late."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def as_event_id(self) -> UUID | None:
        """The id as events have one, None if it cannot be that."""
        try:
            return UUID(self.id)
        except ValueError:
            return None

    @property
    def known(self) -> Facts:
        """What the tables know. The first check has asked them."""
        assert self.facts is not None
        return self.facts

    def sought(self) -> Sought:
        """Return by what the tables are asked: by more once the log has shown the command."""
        seen = self.command
        if self.event_id is not None:
            return Sought(self.id, frozenset(), event_ids=frozenset({self.event_id}))
        if seen is None:
            ids = frozenset() if self.place or self.event_place else frozenset({self.id})
            return Sought(self.id, ids | self.also, self.place)
        named = seen.command
        if isinstance(named, str):
            return Sought(self.id, self.also, seen.place, frozenset({seen.hash}), frozenset({seen.event_id}))
        given = {each for each in (named.correlation_id, named.order_id, named.saga_id) if each is not None}
        return Sought(self.id, self.also | given, seen.place, frozenset({seen.hash}), frozenset({seen.event_id}))

    def first_read(self) -> Facts:
        """Ask the tables for the first time: where they do not know the id, it may be that of an event. Raises as
        `within`."""
        found, event_id = self.within(lambda: read(self.settings, self.sought())), self.as_event_id
        if found.knows or event_id is None:
            return found
        event = Sought(self.id, frozenset(), event_ids=frozenset({event_id}))
        of_event = self.within(lambda: read(self.settings, event))
        if not of_event.knows:
            return found
        self.event_id = event_id
        return of_event

    def names(self, record: LogRecord) -> bool:
        """Tell whether a waiting record is a command that names the id."""
        found = parse_record(record.value)
        if isinstance(found, DeadLetter):
            return False
        return self.id in (found.correlation_id, found.order_id, found.saga_id)

    def take(self, record: LogRecord) -> None:
        """Go on with this command, and ask the tables by what it names."""
        parsed = parse_record(record.value)
        topic_id = self.standing.topic.id if self.standing and self.standing.topic else NO_ID
        event_id = reply_id(topic_id, record.partition, record.offset, round(record.at.timestamp() * 1000))
        self.place = Place(record.topic, record.partition, record.offset)
        command = parsed.error if isinstance(parsed, DeadLetter) else parsed
        self.command = SeenCommand(self.place, record.at, identity_of(record.value), event_id, command)
        self._read_by_more()

    def go_on_with(self, ids: Iterable[str]) -> None:
        """Ask the tables by these ids too."""
        self.also = self.also.union(ids)
        self._read_by_more()

    def _read_by_more(self) -> None:
        with suppress(DatabaseUnusable, NotAsked):  # what was known before still holds
            self.facts = self.within(lambda: read(self.settings, self.sought()))

    def waiting(self) -> dict[int, tuple[int, int]]:
        """Return the offsets that wait, by partition: the first one, and the end of the log."""
        standing, found = self.standing, {}
        if standing is None or standing.topic is None:
            return {}
        for partition, log in standing.bounds.items():
            stored, first = self.known.stored.get(partition), log.begin
            if stored is not None and not is_other_topic(stored.topic_id, standing.topic.id):
                first = max(stored.next_offset, log.begin)
            if first < log.end:
                found[partition] = first, log.end
        return found

    def partitions(self) -> list[int]:
        """Return the partitions that the command waits in, or may wait in; none once it is handled."""
        if self.place is not None:
            stored = self.known.stored.get(self.place.partition)
            is_handled = (
                stored is not None and stored.next_offset > self.place.offset and self._was_ours(stored.topic_id)
            )
            return [] if is_handled else [self.place.partition]
        return [] if self.known.knows or self.standing is None else sorted(self.standing.bounds)

    def _was_ours(self, topic_id: UUID) -> bool:
        standing = self.standing
        return standing is None or standing.topic is None or not is_other_topic(topic_id, standing.topic.id)


def cannot(name: str, what: str, reason: OperationFailed | NotAsked) -> Check:
    """Return the check that could not be asked."""
    return Check(name, None, f"{what} could not be asked: {str(reason).rstrip('.')}.")
