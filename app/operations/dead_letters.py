"""Commands that could not be read, and what a person decides about them."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from app.config.config import Settings
from app.database.lanes import DEAD_LETTERS
from app.kafka import operator as kafka
from app.kafka.operator import Place
from app.models.models import dead_letters as letters
from app.models.operator_errors import NotFound, NotPossible, OperationFailed
from app.operations import lanes, stored_records
from app.operations.audit import Change, Operator
from app.operations.cluster import require_ours
from app.operations.stored_records import StoredRecord, WithBytes
from app.operations.transaction import transaction

REPLAY_SECONDS = 60  # the row is locked until Kafka has answered
_RENEWED = [column.name for column in letters.columns if column.name not in ("id", "refusal")]


@dataclass(frozen=True, slots=True)
class DeadLetter(StoredRecord):
    """`length`: of the whole record where only its beginning was kept; `resolution`: replayed or discarded."""

    error: str
    created_at: datetime
    sent_at: datetime | None
    resolution: str | None
    resolved_at: datetime | None
    length: int | None
    refusal: str | None
    bytes: int | None

    @property
    def sent(self) -> datetime | str | None:
        """When the dead letter topic got it, or that it refused."""
        return "refused" if self.refusal and not self.sent_at else self.sent_at


@dataclass(frozen=True, slots=True)
class Replayed:
    """A dead letter that was sent again."""

    id: int
    resolution: str
    place: Place


def find(settings: Settings, *, every: bool = False, limit: int = 20) -> list[DeadLetter]:
    """Return the dead letters that nobody has decided about, or with `every` all, newest first."""
    where = () if every else (letters.c.resolution.is_(None),)
    return stored_records.find(DeadLetter, letters, settings, limit, *where)


def show(settings: Settings, letter_id: int) -> WithBytes[DeadLetter]:
    """Return one with its bytes. Raises NotFound."""
    return stored_records.show(DeadLetter, letters, settings, letter_id, _missing(letter_id))


def replay(operator: Operator, ids: Iterable[int]) -> list[Replayed]:
    """Send each again, the same key and bytes to the topic that it came from, one after the other.

    Raises OperationFailed at the first that cannot be sent; the sentence names those that were sent before it.
    """
    done: list[Replayed] = []
    for letter_id in sorted(set(ids)):
        try:
            done.append(Replayed(letter_id, "replayed", _replay(operator, letter_id)))
        except OperationFailed as failure:
            before = f" Sent again before it: {', '.join(str(sent.id) for sent in done)}." if done else ""
            raise type(failure)(f"{failure}{before}") from failure
    return done


def _replay(operator: Operator, letter_id: int) -> Place:
    settings = operator.settings
    with operator.change("replay", REPLAY_SECONDS) as change:
        letter = _find(change.connection, letter_id, lock=True)
        if letter.resolution is not None:
            decided = f"{letter.resolution} at {letter.resolved_at:%Y-%m-%d %H:%M:%S} UTC"
            raise NotPossible(f"Dead letter {letter_id} was {decided}.")
        if letter.sha256 is not None:
            raise NotPossible(f"Of dead letter {letter_id} only the beginning was kept: ask its sender for all of it.")
        _resolve(change.connection, letter_id, resolution="replayed")
        place = kafka.send(settings, letter.topic, letter.key, letter.value, partial(require_ours, settings))
        change.record(f"dead letter {letter_id}", f"sent again as {place}")
    return place


def retry(operator: Operator, ids: Iterable[int]) -> list[int]:
    """Offer those that the dead letter topic refused to it again; return their new ids. All of them or none."""
    renewed = []
    with operator.change("retry", lanes.SECONDS) as change:
        for letter_id in sorted(set(ids)):
            letter = _find(change.connection, letter_id, lock=True)
            if letter.refusal is None or letter.sent_at is not None:
                raise NotPossible(f"Dead letter {letter_id} is not refused. Nothing was changed.")
            change.connection.execute(delete(letters).where(letters.c.id == letter_id))
            # With a new id: the relay looks for rows above those that it has seen.
            values = {name: letter._mapping[name] for name in _RENEWED}
            new_id = change.connection.execute(letters.insert().values(values).returning(letters.c.id)).scalar_one()
            change.record(f"dead letter {letter_id}", f"now {new_id}: {_detail(letter)}")
            renewed.append(new_id)
    return renewed


def require_discardable(settings: Settings, ids: Iterable[int], *, unsent: bool = False) -> list[int]:
    """Return the ids, each once, where all can be discarded. Raises NotFound and NotPossible."""
    found = sorted(set(ids))
    with transaction(settings) as connection:
        for letter_id in found:
            _require_discardable(_find(connection, letter_id), unsent=unsent)
    return found


def discard(operator: Operator, ids: Iterable[int], *, unsent: bool = False) -> None:
    """Decide that nothing is to be done about any of them: their bytes go. All of them or none.

    `unsent`: also those that the dead letter topic has not got yet, while no relay leads the lane. What the topic has
    stays as a row; of what it has not, the audit line keeps the bytes.
    """
    with operator.change("discard", lanes.SECONDS) as change:
        if unsent:
            lanes.hold_lead(change.connection, DEAD_LETTERS)
        for letter_id in sorted(set(ids)):
            _discard(change, letter_id, unsent=unsent)


def _discard(change: Change, letter_id: int, *, unsent: bool) -> None:
    letter = _find(change.connection, letter_id, lock=True)
    _require_discardable(letter, unsent=unsent)
    if letter.sent_at is None:
        change.connection.execute(delete(letters).where(letters.c.id == letter_id))
    else:
        _resolve(change.connection, letter_id, resolution=letter.resolution or "discarded", key=None, value=None)
    change.record(f"dead letter {letter_id}", _detail(letter), letter.value if letter.sent_at is None else None)


def _require_discardable(letter: Row[Any], *, unsent: bool) -> None:
    if letter.resolution == "discarded":
        raise NotPossible(f"Dead letter {letter.id} was discarded already. Nothing was changed.")
    if letter.sent_at is None and letter.refusal is None and not unsent:
        raise NotPossible(f"Dead letter {letter.id} is still to be sent to the dead letter topic (see --unsent).")


def _find(connection: Connection, letter_id: int, *, lock: bool = False) -> Row[Any]:
    query = select(letters).where(letters.c.id == letter_id)
    letter = connection.execute(query.with_for_update() if lock else query).first()
    if letter is None:
        raise NotFound(_missing(letter_id))
    return letter


def _missing(letter_id: int) -> str:
    return f"There is no dead letter {letter_id}."


def _resolve(connection: Connection, letter_id: int, **values: Any) -> None:
    connection.execute(update(letters).where(letters.c.id == letter_id).values(resolved_at=func.now(), **values))


def _detail(letter: Row[Any]) -> str:
    sent = "sent" if letter.sent_at else letter.refusal or "never sent"
    key = ""
    if letter.key is not None and not letter.sent_at:
        key = f", key (Base64) {base64.b64encode(letter.key).decode()}"
    return f"{letter.topic}/{letter.partition}/{letter.offset}, {sent}{key}: {letter.error}"
