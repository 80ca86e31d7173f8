"""What dead letters, or mended copies of them, would do if they were sent again now: the service's own code says it.

It handles them in a transaction that is rolled back, one after the other as a replay sends them, in portions: a letter
sees what those before it in its portion would do. The judgement is of now: orders go on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import LargeBinary, Row, case, func, null, select, type_coerce

from app.config.config import Settings
from app.models.errors import CommandFault
from app.models.kafka_tables import dead_letters as letters
from app.models.operator_errors import NotFound, NotPossible
from app.models.records import identity
from app.operations.attempts import Attempts, Record, undone
from app.operations.transaction import transaction
from app.services.command_service import Tried
from app.wire.decoder import MAX_BYTES, decode

MOST = 1000
PORTION = 200
REPEAT = "repeat of a handled command: nothing happens, not even a reply"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What would become of one: a word to count by, and a sentence.

    | verdict | |
    | --- | --- |
    | change | the order changes; the sentence has the reply and the new version |
    | unchanged | success without a change |
    | refused | the reply is a failure; `code` says why |
    | repeat | the same bytes were handled, or stand before it here: nothing happens, not even a reply |
    | unreadable | it becomes a dead letter again |
    | fault | the service cannot handle it: alone among others it is answered with internal_error |
    | settled | it cannot be sent again: it was replayed or discarded, or only its beginning was kept |

    `id`: None for bytes that are no dead letter.
    """

    id: int | None
    verdict: str
    would_be: str
    command_type: str | None = None
    correlation_id: str | None = None
    order_id: str | None = None
    reply_type: str | None = None
    version: int | None = None
    code: str | None = None


def judge(settings: Settings, ids: Iterable[int]) -> Sequence[Judgement]:
    """Return what each dead letter would do, in the order of their ids, each once. Commits nothing.

    Blocks for 3 s per PORTION at the longest. Raises NotFound, and NotPossible for more than MOST.
    """
    wanted = sorted(set(ids))
    if len(wanted) > MOST:
        raise NotPossible(f"{len(wanted)} dead letters are too many to judge at once: take {MOST} at the most.")
    _require_all(settings, wanted)
    judged: list[Judgement] = []
    handled: set[bytes] = set()
    rest = iter(wanted)
    while portion := list(islice(rest, PORTION)):
        judged += _judge(settings, _read(settings, portion), handled)
    return judged


def judge_bytes(settings: Settings, key: bytes | None, value: bytes | None) -> Judgement:
    """Return what a record with this key and value would do if it was sent now. Commits nothing. Blocks for 3 s."""
    (tried,) = _try_out(settings, [Record.now(0, key, value)])
    return _judgement(None, tried)


def _try_out(settings: Settings, records: Sequence[Record]) -> list[Tried | CommandFault]:
    """Return what the records would do. If one of them is at fault, each is tried by itself, as the consumer does."""
    with undone(settings) as attempts:
        try:
            return list(attempts.commands(records))
        except CommandFault:
            return [_alone(attempts, record) for record in records]


def _alone(attempts: Attempts, record: Record) -> Tried | CommandFault:
    try:
        return attempts.commands([record])[0]
    except CommandFault as fault:
        return fault


def _require_all(settings: Settings, ids: Sequence[int]) -> None:
    with transaction(settings) as connection:
        found = set(connection.scalars(select(letters.c.id).where(letters.c.id.in_(ids))))
    missing = next((letter_id for letter_id in ids if letter_id not in found), None)
    if missing is not None:
        raise NotFound(f"There is no dead letter {missing}.")


def _read(settings: Settings, ids: Sequence[int]) -> Sequence[Row[Any]]:
    """Return the letters; of one that is too large to be a command as many bytes as show that."""
    begins = func.substring(letters.c.value, 1, MAX_BYTES + 1)
    gone = letters.c.resolution.is_not(None) | letters.c.sha256.is_not(None)
    value = type_coerce(case((gone, null()), else_=begins), LargeBinary).label("copy")
    columns = letters.c.id, letters.c.key, letters.c.resolution, letters.c.resolved_at, letters.c.sha256, value
    with transaction(settings) as connection:
        return connection.execute(select(*columns).where(letters.c.id.in_(ids)).order_by(letters.c.id)).all()


def _judge(settings: Settings, rows: Sequence[Row[Any]], handled: set[bytes]) -> list[Judgement]:
    """Judge a portion. `handled`: the identities that those before would have, and afterwards theirs, too."""
    found, records = dict[int, Judgement](), list[Record]()
    for row in rows:
        record = Record.now(row.id, row.key, row.copy)
        if settled := _settled(row):
            found[row.id] = Judgement(row.id, "settled", settled)
        elif identity(record) in handled:
            found[row.id] = Judgement(row.id, "repeat", REPEAT)
        else:
            records.append(record)
    for record, tried in zip(records, _try_out(settings, records) if records else [], strict=True):
        found[record.offset] = _judgement(record.offset, tried)
        if isinstance(tried, Tried) and tried.error is None:
            handled.add(identity(record))
    return [found[row.id] for row in rows]


def _settled(row: Row[Any]) -> str | None:
    if row.resolution is not None:
        return f"nothing: it was {row.resolution} at {row.resolved_at:%Y-%m-%d %H:%M:%S} UTC"
    return None if row.sha256 is None else "nothing: only its beginning was kept, so it cannot be sent again"


def _judgement(letter_id: int | None, tried: Tried | CommandFault) -> Judgement:
    if isinstance(tried, CommandFault):
        return Judgement(letter_id, "fault", f"a fault of the service, answered with internal_error: {tried}")
    command, reply = tried.command, tried.reply
    if command is None:
        return Judgement(letter_id, "unreadable", f"still unreadable: {tried.error}")
    verdict, would_be, code = "repeat", REPEAT, None
    order_id = command.order_id
    if reply is not None:
        payload = decode(reply.payload)["payload"]
        code, order_id = payload.get("code"), payload.get("order_id", order_id)
        if code is not None:
            verdict, would_be = "refused", f"refused: {code}: {payload['error']} ({reply.type})"
        elif tried.change is None:
            verdict, would_be = "unchanged", f"unchanged: {reply.type} without a version"
        else:
            verdict, would_be = "change", f"{reply.type}, version {reply.version}"
    return Judgement(
        letter_id,
        verdict,
        would_be,
        command.type,
        command.correlation_id,
        order_id,
        reply.type if reply else None,
        reply.version if reply else None,
        code,
    )
