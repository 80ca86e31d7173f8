"""The consumer groups that read the events topic: how far each has come, as Kafka tells it now.

Nothing is stored and nothing rings: a group that nobody uses any more keeps its offsets for days.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from app.config.config import Settings
from app.kafka.event_places import GroupOffsets, LogLook, open_look
from app.models.operator_errors import KafkaUnusable
from app.utils.spans import span
from app.utils.text import counted

SECONDS = 1.0  # for everything
MOST = 50  # groups
EMPTY = "Empty"  # Kafka's word for a group without a member
EMPTY_SECONDS = 5.0  # a restarted consumer is back by then
SLOW_SECONDS = 10.0  # twice as long as clients wait with a commit by default


@dataclass(frozen=True, slots=True)
class Reader:
    """A group. `state`: as Kafka names it; `behind`: how many records it has not read; `unread_since`: since when the
    first of them lies there, None where there is none or it could not be read; `stands`: a sentence if it stands still.
    """

    group: str
    state: str
    behind: int
    unread_since: datetime | None
    unread_seconds: float | None
    stands: str | None


@dataclass(frozen=True, slots=True)
class Readers:
    """`groups`: MOST at the most, farthest behind first; `left_out`: how many more there are; `nobody`: a sentence if
    there is no group; `notes`: what could not be read."""

    topic: str
    groups: Sequence[Reader]
    left_out: int
    nobody: str | None
    notes: Sequence[str]


def readers(settings: Settings, *, seconds: float = SECONDS) -> Readers:
    """Return the groups that have an offset on the events topic, as far as the service may see them.

    Blocks for `seconds` at the longest; a look that is late ends in a thread of its own. Changes nothing. Raises
    KafkaUnusable.
    """
    thread = ThreadPoolExecutor(1, "readers")
    try:
        return thread.submit(_look, settings, seconds).result(seconds)
    except TimeoutError:
        raise KafkaUnusable(f"{_UNKNOWN}: Kafka has not answered within {seconds:g} s.") from None
    except KafkaUnusable as reason:
        raise KafkaUnusable(f"{_UNKNOWN}: Kafka does not tell ({reason}).") from None
    finally:
        thread.shutdown(wait=False)


_UNKNOWN = "Which groups read the events is not known now"


def _look(settings: Settings, seconds: float) -> Readers:
    topic = settings.events_topic
    with open_look(settings, seconds) as look:
        groups = look.groups()
        bounds = look.event_bounds() if groups else {}
        unread = {each.group: _unread(each, bounds) for each in groups}
        groups.sort(key=lambda each: (-_behind(unread[each.group], bounds), each.group))
        found = [_reader(look, each, unread[each.group], bounds) for each in groups[:MOST]]
        nobody = (
            None if groups else f"No consumer group has an offset on {topic}, or the service may see none (DESCRIBE)."
        )
        return Readers(topic, found, len(groups) - len(found), nobody, look.notes)


def _unread(group: GroupOffsets, bounds: dict[int, tuple[int, int]]) -> dict[int, int]:
    """Return the first offset that the group has not read, by partition where there is one."""
    stands = {number: max(at, bounds[number][0]) for number, at in group.next_offsets.items() if number in bounds}
    return {number: at for number, at in stands.items() if at < bounds[number][1]}


def _behind(unread: dict[int, int], bounds: dict[int, tuple[int, int]]) -> int:
    return sum(bounds[number][1] - at for number, at in unread.items())


def _reader(look: LogLook, group: GroupOffsets, unread: dict[int, int], bounds: dict[int, tuple[int, int]]) -> Reader:
    firsts = [first for number, at in unread.items() if (first := look.event_from(number, at)) is not None]
    since = min((first.at for first in firsts), default=None)
    seconds = None if since is None else max((datetime.now(UTC) - since).total_seconds(), 0.0)
    behind = _behind(unread, bounds)
    return Reader(group.group, group.state, behind, since, seconds, _stands(group, behind, seconds))


def _stands(group: GroupOffsets, behind: int, seconds: float | None) -> str | None:
    """Return a sentence if the group has left records unread for longer than a consumer at work does."""
    if seconds is None or seconds < (EMPTY_SECONDS if group.state == EMPTY else SLOW_SECONDS):
        return None
    unread = f"{counted(behind, 'record')} behind, the first of them unread for {span(seconds)}"
    if group.state == EMPTY:
        return f"Group {group.group} stands still: it has no member, and is {unread}."
    return f"Group {group.group} does not keep up: it is {unread}. Its consumers are away, frozen or slow."
