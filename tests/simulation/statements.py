"""What each statement of the product does to the rows of the simulated server, by the statement's name or text.

The texts are the product's own constants: a statement that is renamed or new fails here with its name.
"""

from collections.abc import Callable, Sequence
from typing import Any

from app.database import batches_sql, lane_lease
from app.database import orders_sql as sql
from app.database.command_facts import WRITE_FACTS
from app.database.floor import last_id_of, writers_of
from app.database.lanes import EVENTS
from app.database.refused_accepts import REMEMBER_REFUSAL
from tests.simulation.database import Rows, Session

Effect = Callable[[Session, Sequence[Any]], Rows]

NOTHING_BEHIND = (None,) * 4
_VERSION = list(sql.ORDER_COLUMNS).index("version")
ACQUIRE = lane_lease._ACQUIRE
LAST_ID, WRITERS = last_id_of(EVENTS.table), writers_of(EVENTS.table)


def _find_offset(session: Session, parameters: Sequence[Any]) -> Rows:
    """A row: topic id, next offset, four columns of the last record, two of the floor."""
    row = session.find("consumer_offsets", tuple(parameters))
    return [] if row is None else [row]


def _first_offset(session: Session, parameters: Sequence[Any]) -> Rows:
    topic, partition, topic_id, next_offset, *floor = parameters
    if session.lock("consumer_offsets", (topic, partition)) is None:
        session.put("consumer_offsets", (topic, partition), (topic_id, next_offset, *NOTHING_BEHIND, *floor))
    return []


def _reset_offset(session: Session, parameters: Sequence[Any]) -> Rows:
    topic, partition, old_topic_id, old_offset, topic_id, next_offset, _, *last = parameters
    return _swap_offset(session, (topic, partition), (old_topic_id, old_offset), (topic_id, next_offset, *last))


def _move_offset(session: Session, parameters: Sequence[Any]) -> Rows:
    topic, partition, topic_id, expected, next_offset, *last = parameters
    return _swap_offset(session, (topic, partition), (topic_id, expected), (topic_id, next_offset, *last))


def _swap_offset(session: Session, key: tuple[str, int], old: tuple[Any, int], new: tuple[Any, ...]) -> Rows:
    row = session.lock("consumer_offsets", key)
    if row is None or row[:2] != old:
        return []
    session.put("consumer_offsets", key, (*new, *row[-2:]))
    return [(1,)]


def _find_trail(session: Session, parameters: Sequence[Any]) -> Rows:
    topic, partition, below, _ = parameters
    kept = [row[2:] for row in session.rows("consumer_checkpoints") if row[:2] == (topic, partition)]
    return sorted((row for row in kept if row[0] < below), reverse=True)


def _keep_checkpoint(session: Session, parameters: Sequence[Any]) -> Rows:
    """Thinned by nothing: these logs are short."""
    row = session.find("consumer_offsets", tuple(parameters))
    if row is not None and row[2] is not None:
        key = (*parameters, row[2])
        session.lock("consumer_checkpoints", key)
        session.put("consumer_checkpoints", key, (*key, *row[3:6]))
    return []


def _claim_commands(session: Session, parameters: Sequence[Any]) -> Rows:
    return _claim(session, "command_identities", [(identity, True) for identity in parameters[0]])


def _write_facts(session: Session, parameters: Sequence[Any]) -> Rows:
    """Rows of identities that nobody reads here: what counts is who waits for whom."""
    for row in sorted(zip(*parameters, strict=True)):
        if session.lock("command_identities", row[0]) is not None:
            session.put("command_identities", row[0], row)
    return []


def _claim_sagas(session: Session, parameters: Sequence[Any]) -> Rows:
    return _claim(session, "saga_orders", sorted(zip(*parameters, strict=True)))


def _claim(session: Session, table: str, rows: Sequence[tuple[Any, Any]]) -> Rows:
    claimed: Rows = []
    for key, row in rows:
        if session.lock(table, key) is None:
            session.put(table, key, row)
            claimed.append((key,))
    return claimed


def _find_sagas(session: Session, parameters: Sequence[Any]) -> Rows:
    found = [(saga_id, session.find("saga_orders", saga_id)) for saga_id in parameters[0]]
    return [row for row in found if row[1] is not None]


def _load_orders(session: Session, parameters: Sequence[Any]) -> Rows:
    rows = [session.find("orders", order_id) for order_id in parameters[0]]
    return [row for row in rows if row is not None]


def _lock_orders(session: Session, parameters: Sequence[Any]) -> Rows:
    there = [order_id for order_id in sorted(parameters[0]) if session.find("orders", order_id) is not None]
    return [session.lock("orders", order_id) for order_id in there]


def _insert_orders(session: Session, parameters: Sequence[Any]) -> Rows:
    for row in zip(*parameters, strict=True):
        session.insert("orders", row[0], row, "orders_pkey")
    return [(1,)] * len(parameters[0])


def _update_orders(session: Session, parameters: Sequence[Any]) -> Rows:
    return [(1,) for *row, guard in zip(*parameters, strict=True) if update_order(session, tuple(row), guard)]


def update_order(session: Session, row: tuple[Any, ...], guard: int) -> bool:
    """Replace an order whose version is `guard`; tell whether it was."""
    if session.find("orders", row[0]) is None or session.lock("orders", row[0])[_VERSION] != guard:
        return False
    session.put("orders", row[0], row)
    return True


def _insert_changes(session: Session, parameters: Sequence[Any]) -> Rows:
    for row in zip(*parameters, strict=True):
        _add_change(session, dict(zip(batches_sql.CHANGE_COLUMNS, row, strict=True)))
    return [(1,)] * len(parameters[0])


def _add_change(session: Session, change: dict[str, Any]) -> None:
    session.insert("order_changes", (change["order_id"], change["version"]), change, "order_changes_pkey")


def _insert_events(session: Session, parameters: Sequence[Any]) -> Rows:
    for row in zip(*parameters, strict=True):
        _add_event(session, dict(zip(batches_sql.EVENT_COLUMNS, row, strict=True)))
    return [(1,)] * len(parameters[0])


def _add_event(session: Session, event: dict[str, Any]) -> None:
    session.begin_inserting("outbox")
    row_id = session.server.next_id()
    session.put("outbox", row_id, {"id": row_id, **event})


def _insert_dead_letters(session: Session, parameters: Sequence[Any]) -> Rows:
    for row in zip(*parameters, strict=True):
        letter = dict(zip(batches_sql.DEAD_LETTER_COLUMNS, row, strict=True))
        if session.find("dead_letters", letter["event_id"]) is None:
            session.insert("dead_letters", letter["event_id"], letter, "uq_dead_letters_event_id")
    return [(1,)] * len(parameters[0])


def _write_new(session: Session, parameters: Sequence[Any]) -> Rows:
    written = dict(zip(sql.INSERT_ORDER.parameters, parameters, strict=True))
    row = tuple(written[column] for column in sql.ORDER_COLUMNS)
    session.insert("orders", row[0], row, "orders_pkey")
    return announce(session, written)


def changed_row(session: Session, parameters: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the order's row after the change, and all that is written by its name."""
    written = dict(zip(sql.UPDATE_ORDER.parameters, parameters, strict=True))
    before = session.find("orders", written["order_id"]) or [None] * len(sql.ORDER_COLUMNS)
    after = dict(zip(sql.ORDER_COLUMNS, before, strict=True)) | written
    return tuple(after[column] for column in sql.ORDER_COLUMNS), written


def _write_changed(session: Session, parameters: Sequence[Any]) -> Rows:
    row, written = changed_row(session, parameters)
    return announce(session, written) if update_order(session, row, row[_VERSION] - 1) else []


def update_free(session: Session, parameters: Sequence[Any], write: Effect = _write_changed) -> Rows:
    """Change the orders that nobody else holds; return the ids of those that were changed."""
    rows = [row for row in zip(*parameters, strict=True) if session.is_free("orders", row[0])]
    return [(row[0],) for row in rows if write(session, row)]


def announce(session: Session, written: dict[str, Any]) -> Rows:
    """Write the rest of the chain of an HTTP change: its history line and its event."""
    history = {"to_status": written["order_status"], "runner_id": written["concerned"]}
    _add_change(session, {column: (written | history).get(column) for column in batches_sql.CHANGE_COLUMNS})
    event = {"event_id": written["change_id"], "aggregateid": written["order_id"]}
    _add_event(session, {column: (written | event)[column] for column in batches_sql.EVENT_COLUMNS})
    return [(written["version"],)]


def _find_change(session: Session, parameters: Sequence[Any]) -> Rows:
    order_id, version, change_id = parameters
    change = session.find("order_changes", (order_id, version))
    return [(1,)] if change is not None and change["change_id"] == change_id else []


def _remember_refusal(session: Session, parameters: Sequence[Any]) -> Rows:
    session.lock("refused_accepts", tuple(parameters))
    session.put("refused_accepts", tuple(parameters), session.server.scheduler.now)
    return []


# The relay's


def _acquire(session: Session, parameters: Sequence[Any]) -> Rows:
    return [(session.server.leaders.setdefault(parameters[0], session) is session,)]


def _last_id(session: Session, parameters: Sequence[Any]) -> Rows:
    return [(session.server.last_id or None,)]


def _writers(session: Session, parameters: Sequence[Any]) -> Rows:
    others = (it.inserts_into.get("outbox") for it in session.server.sessions)
    return [(name, False) for name in others if name is not None]


def _oldest(session: Session, parameters: Sequence[Any]) -> Rows:
    floor, limit, _ = parameters
    return _events_between(session, floor + 1, float("inf"), limit)


def _oldest_aside(session: Session, parameters: Sequence[Any]) -> Rows:
    begin, end, limit, _ = parameters
    return _events_between(session, begin, end, limit)


def _events_between(session: Session, begin: float, end: float, limit: int) -> Rows:
    columns = ("payload", "type", "correlation_id")
    rows = [row for row in session.rows("outbox") if begin <= row["id"] < end][:limit]
    return [
        (
            *(row["id"], row["event_id"], 0.0, row["aggregateid"].encode()),
            *(row[column] for column in columns),
            *(None if row["version"] is None else str(row["version"]), row["traceparent"]),
        )
        for row in rows
    ]


def _set_aside(session: Session, parameters: Sequence[Any]) -> Rows:
    row_ids, distance = parameters
    for row_id in row_ids:
        row = session.lock("outbox", row_id)
        if row is not None:
            session.put("outbox", row_id, None)
            session.put("outbox", row_id - distance, {**row, "id": row_id - distance})
            session.server.set_aside += 1
    return []


def _forget(session: Session, parameters: Sequence[Any]) -> Rows:
    gone = [row_id for row_id in parameters[0] if session.lock("outbox", row_id) is not None]
    for row_id in gone:
        if session.find("known_events", session.find("outbox", row_id)["event_id"]):
            session.server.read_back[session] += 1
        session.put("outbox", row_id, None)
    return [(1,)] * len(gone)


def _any_known(session: Session, parameters: Sequence[Any]) -> Rows:
    return [(any(True for _ in session.rows("known_events")),)]


def _known(session: Session, parameters: Sequence[Any]) -> Rows:
    return [(event_id,) for event_id in parameters[0] if session.find("known_events", event_id)]


def _note(session: Session, parameters: Sequence[Any]) -> Rows:
    for event_id in parameters[0]:
        session.put("known_events", event_id, event_id)
    return []


def _positions(session: Session, parameters: Sequence[Any]) -> Rows:
    return list(session.rows("relay_positions"))


def _set_position(session: Session, parameters: Sequence[Any]) -> Rows:
    topic, *row = parameters
    session.lock("relay_positions", (topic, row[0]))
    session.put("relay_positions", (topic, row[0]), tuple(row))
    return []


def _move_position(session: Session, parameters: Sequence[Any]) -> Rows:
    topic, partition, topic_id, next_offset = parameters
    known = session.lock("relay_positions", (topic, partition))
    if known is None or known[1] != topic_id or known[2] < next_offset:
        session.put("relay_positions", (topic, partition), (partition, topic_id, next_offset))
    return []


EFFECTS: dict[str, Effect] = {
    batches_sql.FIND_OFFSET.name: _find_offset,
    batches_sql.FIND_TRAIL.name: _find_trail,
    batches_sql.KEEP_CHECKPOINT.name: _keep_checkpoint,
    batches_sql.FIRST_OFFSET.name: _first_offset,
    batches_sql.RESET_OFFSET.name: _reset_offset,
    batches_sql.MOVE_OFFSET.name: _move_offset,
    batches_sql.CLAIM_COMMANDS.name: _claim_commands,
    WRITE_FACTS.name: _write_facts,
    batches_sql.CLAIM_SAGAS.name: _claim_sagas,
    batches_sql.FIND_SAGAS.name: _find_sagas,
    sql.LOAD_ORDERS.name: _load_orders,
    sql.LOCK_ORDERS.name: _lock_orders,
    batches_sql.INSERT_ORDERS.name: _insert_orders,
    batches_sql.UPDATE_ORDERS.name: _update_orders,
    batches_sql.INSERT_CHANGES.name: _insert_changes,
    batches_sql.INSERT_EVENTS.name: _insert_events,
    batches_sql.INSERT_DEAD_LETTERS.name: _insert_dead_letters,
    sql.INSERT_ORDER.name: _write_new,
    sql.UPDATE_ORDER.name: _write_changed,
    sql.UPDATE_FREE.name: update_free,
    sql.FIND_CHANGE.name: _find_change,
    REMEMBER_REFUSAL.name: _remember_refusal,
    "SELECT 1": lambda session, parameters: [(1,)],
    ACQUIRE: _acquire,
    LAST_ID: _last_id,
    WRITERS: _writers,
    EVENTS.select: _oldest,
    EVENTS.take_out: _forget,
    EVENTS.select_aside: _oldest_aside,
    EVENTS.set_aside: _set_aside,
    lane_lease._ANY_KNOWN: _any_known,
    lane_lease._KNOWN: _known,
    lane_lease._NOTE: _note,
    lane_lease._DURABLY: lambda session, parameters: [],
    lane_lease._POSITIONS: _positions,
    lane_lease._SET: _set_position,
    lane_lease._ADVANCE: _move_position,
}
"""Every statement of the consumer, the relay of events and the HTTP door without keys."""
