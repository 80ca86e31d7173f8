"""A dead letter sent again: as it is, or mended by a person. The letter is marked with the place of its record."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.kafka.operator import Place
from app.models.operator_errors import DatabaseUnusable, NotPossible, OperationFailed
from app.operations.audit import Operator
from app.operations.dead_letters import find_each, require_replayable, require_undecided, resolve
from app.operations.send_command import BEGUN, send_begun
from app.wire.command_reader import DeadLetter, parse_record


@dataclass(frozen=True, slots=True)
class Resent:
    """A dead letter of which a record was sent. `resolution`: `replayed`, or `mended`."""

    id: int
    resolution: str
    place: Place


def replay(operator: Operator, ids: Iterable[int]) -> list[Resent]:
    """Send dead letters again, one after the other: the same key and bytes, to the topic that they came from.

    Commits each. Raises OperationFailed at the first that cannot be sent; the sentence names those sent before it.
    """
    done: list[Resent] = []
    for letter_id in sorted(set(ids)):
        try:
            done.append(_resend(operator, letter_id))
        except OperationFailed as failure:
            before = f" Sent again before it: {', '.join(str(sent.id) for sent in done)}." if done else ""
            raise type(failure)(f"{failure}{before}") from failure
    return done


def mend(operator: Operator, letter_id: int, value: bytes, *, reason: str) -> Resent:
    """Send the mended bytes with the original's key, to the topic that it came from, and mark the original.

    Raises NotFound, and NotPossible if the letter is decided about, or the bytes are no command either. The audit line
    has the reason and the bytes.
    """
    judged = parse_record(value)
    if isinstance(judged, DeadLetter):
        raise NotPossible(f"These bytes would be a dead letter again: {judged.error}.")
    return _resend(operator, letter_id, value, reason)


def _resend(operator: Operator, letter_id: int, mended: bytes | None = None, reason: str = "") -> Resent:
    """Send one letter, or the mended bytes in its place, between two transactions.

    The audit line is committed before the record is sent. If the second transaction fails, the letter stays undecided,
    and the sentence says where the record is. To send the same bytes once more does no harm: they are recognised. A
    letter that is marked and was not sent would be lost.
    """
    action, how = ("replay", "again") if mended is None else ("mend", "mended")
    resolution, why = f"{action}ed", f": {reason}" if reason else ""
    with operator.change(action) as change:
        (letter,) = find_each(change.connection, [letter_id], lock=True)
        (require_replayable if mended is None else require_undecided)(letter)
        line = change.record(f"dead letter {letter_id}", f"{BEGUN}{why}", mended)
    place = send_begun(operator, line, letter.topic, letter.key, letter.value if mended is None else mended)
    sent = f"sent {how} as {place}"
    try:
        with operator.change(action) as change:
            resolve(change.connection, letter_id, resolution=resolution, sent_as=str(place))
            change.complete(line, f"{sent}{why}")
    except DatabaseUnusable as failure:
        raise DatabaseUnusable(f"Dead letter {letter_id} was {sent}, but is not marked so: {failure}") from None
    return Resent(letter_id, resolution, place)
