# mypy: disable-error-code="assignment"
"""The protections that a test can take out of the running service, to show that without them its row turns red.

Each function replaces a piece of the product from outside; the product has no switch for it.
"""

from collections.abc import Callable, Collection
from dataclasses import replace

from app.database.batches import BatchTransaction
from app.database.floor import Floor
from app.database.lane_lease import PostgresLease
from app.database.statement import Statement
from app.kafka.event_reader import EventReader
from app.models.outgoing import LogEnd
from app.models.records import Batch

_MOVE_ANYWAY = Statement(
    "move_anyway",
    {"next_offset": "bigint", "topic": "text", "partition": "integer"},
    "UPDATE consumer_offsets SET next_offset = $next_offset WHERE topic = $topic AND partition = $partition",
)


def read_back() -> None:
    """A new leader sends what is in the outbox, whatever is in the log."""
    PostgresLease.known = lambda *_: ()


def read_back_to_the_end() -> None:
    """What is read back is what a consumer can see at first: up to the high watermark."""
    asked = EventReader.leader_ends

    def leader_ends(self: EventReader, partitions: Collection[int]) -> dict[int, LogEnd | str]:
        found = asked(self, partitions)
        ends = {partition: end for partition, end in found.items() if isinstance(end, LogEnd)}
        seen = self._watermarks([*ends]) if ends else {}
        known = ((partition, end) for partition, end in seen.items() if isinstance(end, LogEnd))
        return found | {partition: replace(end, epoch=ends[partition].epoch) for partition, end in known}

    EventReader.leader_ends = leader_ends


def compare_and_swap() -> None:
    """A batch commits wherever the stored offset stands."""

    def move(self: BatchTransaction, batch: Batch) -> None:
        self._session.execute(_MOVE_ANYWAY, (batch.next_offset, batch.topic, batch.partition))

    BatchTransaction.move_offset = move


def identities() -> None:
    """The same bytes again are a new command."""

    BatchTransaction.claim = lambda _, commands: list(commands)


def one_leader() -> None:
    """Every relay believes that the lease is its own."""
    PostgresLease.acquire = lambda _: True


def floor() -> None:
    """Whoever looks for rows walks over the dead ones."""
    Floor.rise = lambda *_: None


PROTECTIONS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (read_back, read_back_to_the_end, compare_and_swap, identities, one_leader, floor)
}


def take_out(name: str) -> None:
    """Take the protection out of this process. Raises KeyError for an unknown one."""
    PROTECTIONS[name]()
