"""The ports of the consumer: the commands topic, the stored offsets, and the use case that handles commands."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Protocol

from app.models.records import Batch, Checkpoint, Record, StoredOffset


class PartitionAway(Exception):
    """The partition cannot be looked at now; the reason is for people."""


class StaleTopic(Exception):
    """This client knows an older topic than the stored offset is of: build a new client."""


class CommandLog(Protocol):
    """The commands topic, as one member of the group sees it."""

    topic: str

    def poll(self) -> Mapping[int, Sequence[Record]]:
        """Return the next records by partition; blocks for a moment."""

    def assigned(self) -> set[int]:
        """Return the partitions that this member has now."""

    def topic_id(self) -> uuid.UUID:
        """Return the id of the topic, another one once it was deleted and made anew."""

    def seek(self, partition: int, offset: int) -> None:
        """Make `offset` the next to be polled."""

    def pause(self, partition: int) -> None:
        """Poll nothing from the partition until the next seek."""

    def commit(self, partition: int, offset: int) -> None:
        """Tell the group the next offset; for displays of lag only."""

    # Each of these blocks for seconds at the longest and raises PartitionAway.

    def ask_topic_id(self) -> uuid.UUID:
        """Return the topic's id as the broker has it now."""

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset in the log and the one after the last."""

    def checkpoint_at(self, partition: int, offset: int) -> Checkpoint | None:
        """Return the checkpoint of the record that is there now, None if none has this offset."""

    def first_since(self, partition: int, timestamp: int) -> int | None:
        """Return the offset of the first record that is not older (milliseconds since 1970), None without one."""

    def compacted(self) -> bool:
        """Return whether the topic may lose single records to compaction."""

    def committed(self, partition: int) -> int | None:
        """Return the group's committed offset."""


class OffsetStore(Protocol):
    """The stored offsets. Each method commits and raises DatabaseTrouble."""

    def offset(self, topic: str, partition: int) -> StoredOffset | None:
        """Return the stored offset."""

    def store_first_offset(self, topic: str, partition: int, offset: StoredOffset) -> None:
        """Store the offset with its take-over if there is none yet."""

    def reset_offset(self, topic: str, partition: int, old: StoredOffset, new: StoredOffset) -> None:
        """Replace the stored offset if it is still `old`, and drop the trail from there on."""

    def trail(self, topic: str, partition: int, below: int) -> Sequence[Checkpoint]:
        """Return older checkpoints below an offset, newest first; none that it would be unsafe to go back to."""

    def keep_checkpoint(self, topic: str, partition: int) -> None:
        """Add the record before the stored offset to the trail, and thin the trail."""


class CommandHandler(Protocol):
    """The use case that handles commands and moves the stored offset with them."""

    def handle(self, batch: Batch, *, give_up: str | None = None) -> int:
        """Commit the effects of a batch and the new offset; return the number of dead letters.

        `give_up`: why its one command cannot be handled: it is answered with a failure. Raises CommandFault if
        that may be a command's own fault, OffsetMoved, and DatabaseTrouble for all else; nothing is moved then.
        """

    def rehearse(self) -> None:
        """Raise DatabaseTrouble if not even a sample of a command can be handled; commits nothing."""
