"""Commands that could not be read, and what a person decides about them."""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from app.config.config import Settings
from app.database.lanes import DEAD_LETTERS
from app.models.kafka_tables import dead_letters as letters
from app.models.operator_errors import NotFound, NotPossible
from app.operations import lanes, stored_records
from app.operations.audit import Operator
from app.operations.stored_records import StoredRecord, WithBytes
from app.operations.transaction import transaction

_RENEWED = [column.name for column in letters.columns if column.name not in ("id", "refusal")]


@dataclass(frozen=True, slots=True)
class DeadLetter(StoredRecord):
    """`length`: of the whole record, if only its beginning was kept; `resolution`: replayed, mended or discarded;
    `sent_as`: where the record is that was sent again, or in its place."""

    error: str
    created_at: datetime
    sent_at: datetime | None
    resolution: str | None
    resolved_at: datetime | None
    length: int | None
    refusal: str | None
    sent_as: str | None
    bytes: int | None

    @property
    def sent(self) -> datetime | str | None:
        """When the dead letter topic got it, or that it refused."""
        return "refused" if self.refusal and not self.sent_at else self.sent_at


def find(settings: Settings, *, every: bool = False, limit: int = 20) -> list[DeadLetter]:
    """Return the dead letters that nobody has decided about, or with `every` all, newest first."""
    where = () if every else (letters.c.resolution.is_(None),)
    return stored_records.find(DeadLetter, letters, settings, limit, *where)


def show(settings: Settings, letter_id: int) -> WithBytes[DeadLetter]:
    """Return one with its bytes. Raises NotFound."""
    return stored_records.show(DeadLetter, letters, settings, letter_id, _missing(letter_id))


def require_replayable(letter: Row[Any]) -> None:
    """Raise NotPossible if the letter is decided about, or is not all there."""
    require_undecided(letter)
    if letter.sha256 is not None:
        raise NotPossible(f"Of dead letter {letter.id} only the beginning was kept: ask its sender for all of it.")


def require_undecided(letter: Row[Any]) -> None:
    """Raise NotPossible if the letter is decided about."""
    if letter.resolution is not None:
        decided = f"{letter.resolution} at {letter.resolved_at:%Y-%m-%d %H:%M:%S} UTC"
        raise NotPossible(f"Dead letter {letter.id} was {decided}.")


def retry(operator: Operator, ids: Iterable[int]) -> list[int]:
    """Offer dead letters that their topic refused to the topic again, all or none; return their new ids."""
    renewed = []
    with operator.change("retry", lanes.SECONDS) as change:
        for letter in find_each(change.connection, ids, lock=True):
            if letter.refusal is None or letter.sent_at is not None:
                raise NotPossible(f"Dead letter {letter.id} is not refused. Nothing was changed.")
            change.connection.execute(delete(letters).where(letters.c.id == letter.id))
            # With a new id: the relay looks for rows above those that it has seen.
            values = {name: letter._mapping[name] for name in _RENEWED}
            new_id = change.connection.execute(letters.insert().values(values).returning(letters.c.id)).scalar_one()
            change.record(f"dead letter {letter.id}", f"now {new_id}: {_detail(letter)}")
            renewed.append(new_id)
    return renewed


def require_discardable(settings: Settings, ids: Iterable[int], *, unsent: bool = False) -> list[int]:
    """Return the ids, each once, if all of them can be discarded. Raises NotFound and NotPossible."""
    found = []
    with transaction(settings) as connection:
        for letter in find_each(connection, ids):
            require_discardable_row(letter, unsent=unsent)
            found.append(letter.id)
    return found


def discard(operator: Operator, ids: Iterable[int], *, unsent: bool = False) -> None:
    """Discard dead letters, all or none. Raises NotFound and NotPossible.

    If the dead letter topic has the record, the row stays without its bytes. If not, the row goes and the audit line
    keeps the bytes. `unsent`: discard also what is still to be sent; blocks up to 20 s until no relay leads the lane.
    """
    with operator.change("discard", lanes.SECONDS) as change:
        if unsent:
            lanes.take_lease(change.connection, DEAD_LETTERS)
        for letter in find_each(change.connection, ids, lock=True):
            require_discardable_row(letter, unsent=unsent)
            if letter.sent_at is None:
                change.connection.execute(delete(letters).where(letters.c.id == letter.id))
            else:
                resolution = letter.resolution or "discarded"
                resolve(change.connection, letter.id, resolution=resolution, key=None, value=None)
            change.record(f"dead letter {letter.id}", _detail(letter), None if letter.sent_at else letter.value)


def require_discardable_row(letter: Row[Any], *, unsent: bool = False) -> None:
    """Raise NotPossible if the letter was discarded, or its topic is still to get it."""
    if letter.resolution == "discarded":
        raise NotPossible(f"Dead letter {letter.id} was discarded already. Nothing was changed.")
    if letter.sent_at is None and letter.refusal is None and not unsent:
        raise NotPossible(f"Dead letter {letter.id} is still to be sent to the dead letter topic (see --unsent).")


def find_each(connection: Connection, ids: Iterable[int], *, lock: bool = False) -> Iterator[Row[Any]]:
    """Yield the dead letters in the order of their ids, each once. Raises NotFound at the first that is not there."""
    for letter_id in sorted(set(ids)):
        query = select(letters).where(letters.c.id == letter_id)
        letter = connection.execute(query.with_for_update() if lock else query).first()
        if letter is None:
            raise NotFound(_missing(letter_id))
        yield letter


def _missing(letter_id: int) -> str:
    return f"There is no dead letter {letter_id}."


def resolve(connection: Connection, letter_id: int, **values: Any) -> None:
    """Write down what was decided about a letter, in these columns."""
    connection.execute(update(letters).where(letters.c.id == letter_id).values(resolved_at=func.now(), **values))


def _detail(letter: Row[Any]) -> str:
    sent = "sent" if letter.sent_at else letter.refusal or "never sent"
    key = ""
    if letter.key is not None and not letter.sent_at:
        key = f", key (Base64) {base64.b64encode(letter.key).decode()}"
    return f"{letter.topic}/{letter.partition}/{letter.offset}, {sent}{key}: {letter.error}"
