"""The protections that can be taken out, one at a time, to see that the simulation finds what they protect from.

The test program replaces what a statement does, or a function; the product has no switch for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from app.database import batches_sql, lane_lease
from app.database import orders_sql as sql
from app.database.lane_lease import PostgresLease
from tests.simulation.database import Rows, Session
from tests.simulation.kafka import EventTopic
from tests.simulation.statements import ACQUIRE, EFFECTS, WRITERS, Effect, announce, changed_row, update_free


@dataclass(frozen=True)
class Ablation:
    """What the statements do without the protection, which functions do nothing, and which do what other ones do."""

    effects: Mapping[str, Effect] = field(default_factory=dict)
    functions: Sequence[tuple[Any, str]] = ()
    others: Sequence[tuple[Any, str, Any]] = ()

    @contextmanager
    def taken_out(self) -> Iterator[Mapping[str, Effect]]:
        """Take the protection out; return what all statements do meanwhile."""
        with ExitStack() as stack:
            for place, name in self.functions:
                stack.enter_context(mock.patch.object(place, name, return_value=0))
            for place, name, other in self.others:
                stack.enter_context(mock.patch.object(place, name, other))
            yield {**EFFECTS, **self.effects}


def _move_any_offset(session: Session, parameters: Sequence[Any]) -> Rows:
    topic, partition, topic_id, _, next_offset, *last = parameters
    session.lock("consumer_offsets", (topic, partition))
    session.put("consumer_offsets", (topic, partition), (topic_id, next_offset, *last, None, None))
    return [(1,)]


def _claim_all(session: Session, parameters: Sequence[Any]) -> Rows:
    return [(identity,) for identity in parameters[0]]


def _overwrite(session: Session, parameters: Sequence[Any]) -> Rows:
    row, written = changed_row(session, parameters)
    if session.lock("orders", row[0]) is None:
        return []
    session.put("orders", row[0], row)
    return announce(session, written)


def _overwrite_free(session: Session, parameters: Sequence[Any]) -> Rows:
    return update_free(session, parameters, _overwrite)


def _acquire_anyway(session: Session, parameters: Sequence[Any]) -> Rows:
    return [(True,)]


def _nothing(session: Session, parameters: Sequence[Any]) -> Rows:
    return []


NOTHING = Ablation()
ABLATIONS = {
    "read-back": Ablation({lane_lease._KNOWN: _nothing}),
    "leader-end": Ablation(others=[(EventTopic, "_end", lambda topic, partition: topic._broker.seen(partition))]),
    "compare-and-swap": Ablation({batches_sql.MOVE_OFFSET.name: _move_any_offset}),
    "identities": Ablation({batches_sql.CLAIM_COMMANDS.name: _claim_all}),
    "version-guard": Ablation({sql.UPDATE_ORDER.name: _overwrite, sql.UPDATE_FREE.name: _overwrite_free}),
    "one-leader": Ablation({ACQUIRE: _acquire_anyway}),
    "floor": Ablation({WRITERS: _nothing}),
    "lease": Ablation(functions=[(PostgresLease, "require_valid")]),
}
"""By name. `compare-and-swap` is the one of the stored offset, `version-guard` that of an HTTP change, `floor` the wait
for all writers before the floor of the outbox rises, `leader-end` that a read-back goes to where the leader's log ends,
not to where a consumer sees it end."""
