"""A dead letter that a person has mended: sent in place of the original, which is marked with the place."""

from dataclasses import dataclass

from app.kafka.operator import Place
from app.models.operator_errors import DatabaseUnusable, NotPossible
from app.operations.audit import Operator
from app.operations.dead_letters import find_each, require_undecided, resolve
from app.operations.send_command import BEGUN, send_begun
from app.wire.command_reader import DeadLetter, parse_record


@dataclass(frozen=True, slots=True)
class Mended:
    """A dead letter in whose place a mended record was sent."""

    id: int
    resolution: str
    place: Place


def mend(operator: Operator, letter_id: int, value: bytes, *, reason: str) -> Mended:
    """Send the mended bytes with the original's key, to the topic that it came from, and mark the original.

    Raises NotFound, and NotPossible if the letter is decided about, or the bytes are no command either. The audit line
    has the reason and the bytes, and is committed before they are sent. If the mark fails after that, the letter stays
    undecided and the sentence says where the record is: the same bytes sent again are recognised.
    """
    judged = parse_record(value)
    if isinstance(judged, DeadLetter):
        raise NotPossible(f"These bytes would be a dead letter again: {judged.error}.")
    with operator.change("mend") as change:
        (letter,) = find_each(change.connection, [letter_id], lock=True)
        require_undecided(letter)
        line = change.record(f"dead letter {letter_id}", f"{BEGUN}: {reason}", value)
    place = send_begun(operator, line, letter.topic, letter.key, value)
    try:
        with operator.change("mend") as change:
            resolve(change.connection, letter_id, resolution="mended", sent_as=str(place))
            change.complete(line, f"sent mended as {place}: {reason}")
    except DatabaseUnusable as failure:
        sent = f"The mended dead letter {letter_id} was sent as {place}, but"
        raise DatabaseUnusable(f"{sent} is not marked so: {failure}") from None
    return Mended(letter_id, "mended", place)
