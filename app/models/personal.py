"""Which columns hold data about a person, and what becomes of it when the person is forgotten.

Every column of every table is in one of the two maps; `tests/unit/test_personal.py` fails on a new one that is in
neither. docs/security.md shows PERSONAL as a table. `app/operations/forget.py` carries it out.

A person is a customer or a runner, known by an id that other systems gave it. Ids of orders, sagas, requests and events
are of things; a caller that puts a person's id into one of these puts it where nobody looks for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Personal:
    """`what` a column tells about a person, and what `flask orders forget` does with it."""

    what: str
    forgotten: str


_PSEUDONYM = "becomes a pseudonym"
_COUNT = "its count goes on under the pseudonym"
_LEAVES = "waits until Kafka has it, then the row is deleted"
_BYTES = "the bytes are deleted"
_RECORD = "deleted, once the dead letter topic has it or has refused it"
_OUR_OWN = "kept: who did what is what it is for"
_KEPT_SHORT = "kept until its time: no way back to what was hashed"

PERSONAL: Mapping[str, Mapping[str, Personal]] = MappingProxyType(
    {
        "orders": {
            "cust_id": Personal("the customer", _PSEUDONYM),
            "runner_id": Personal("the runner", _PSEUDONYM),
            "order_description": Personal("what the customer ordered, in words", "becomes `[]`"),
            "delivery_location": Personal("where the customer is", "becomes `forgotten`"),
            "cancel_reason": Personal("why it was cancelled, in a saga's words", "becomes null"),
        },
        "order_changes": {
            "runner_id": Personal("the runner concerned", _PSEUDONYM),
            "caller": Personal("who called: the name of a program or of a colleague", _OUR_OWN),
        },
        "idempotency_keys": {
            "body": Personal("the answer, which may show the order", "shows the order as it is then"),
            "body_hash": Personal("SHA-256 of the request", _KEPT_SHORT),
        },
        "refused_accepts": {"runner_id": Personal("the runner that was refused", _PSEUDONYM)},
        "order_counts": {"value": Personal("the customer or runner, for these two kinds", _COUNT)},
        "order_count_deltas": {
            "cust_id": Personal("the customer", "folded, which deletes the row"),
            "runner_id": Personal("the runner", "folded, which deletes the row"),
        },
        "outbox": {"payload": Personal("the event, which may show the order", _LEAVES)},
        "taken_out_events": {"payload": Personal("as in outbox", "shows the order as it is then")},
        "dead_letters": {
            "key": Personal("whatever the sender wrote", _RECORD),
            "value": Personal("whatever the sender wrote", _RECORD),
        },
        "given_up_commands": {
            "key": Personal("whatever the sender wrote", _BYTES),
            "value": Personal("the command", _BYTES),
            "error": Personal("why it failed, perhaps in PostgreSQL's words", "becomes `forgotten`"),
        },
        "api_keys": {
            "name": Personal("whose key it is: a program or a colleague", _OUR_OWN),
            "created_by": Personal("the operator", _OUR_OWN),
        },
        "jobs": {
            "who": Personal("the operator", _OUR_OWN),
            "reason": Personal("why, in the operator's words", _OUR_OWN),
            "stopped_by": Personal("the operator", _OUR_OWN),
            "result": Personal("what a check found, with examples", "examples with the id are deleted"),
        },
        "operator_actions": {
            "who": Personal("the operator", _OUR_OWN),
            "detail": Personal(
                "what was done; of a record the key, in Base64", "a key with the id becomes `forgotten`"
            ),
            "bytes": Personal("a command or record that an operator sent, took out or discarded", _BYTES),
        },
    }
)

NOT_PERSONAL: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "orders": frozenset(
            {
                *("order_id", "saga_id", "version", "order_status", "payment_status", "food_fee", "delivery_fee"),
                *("created_at", "updated_at", "accepted_at", "placed_at", "picked_up_at", "delivered_at"),
                *("completed_at", "cancelled_at", "store_location"),  # of a store
            }
        ),
        "order_changes": frozenset(
            {
                *("order_id", "version", "change_id", "kind", "from_status", "to_status", "payment_status", "door"),
                *("correlation_id", "source_topic", "source_partition", "source_offset", "created_at"),
                "traceparent",
            }
        ),
        "idempotency_keys": frozenset({"path", "key", "status", "created_at"}),
        "refused_accepts": frozenset({"order_id", "refused_at", "used_by", "used_at"}),
        "saga_orders": frozenset({"saga_id", "order_id"}),
        "order_counts": frozenset({"kind", "orders"}),
        "order_count_deltas": frozenset({"sign", "order_status", "created_at", "id"}),
        "order_count_floors": frozenset({"id"}),
        "order_count_marks": frozenset({"mark"}),
        "outbox": frozenset(
            {
                *("id", "event_id", "aggregatetype", "aggregateid", "type", "correlation_id", "version", "created_at"),
                *("refusal", "traceparent"),
            }
        ),
        "known_events": frozenset({"event_id", "noted_at"}),
        "taken_out_events": frozenset(
            {
                *("event_id", "outbox_id", "aggregateid", "type", "correlation_id", "version", "refusal"),
                *("created_at", "taken_out_at", "put_back_at", "traceparent"),
            }
        ),
        "lost_events": frozenset({"change_id", "order_id", "version", "found_at", "announced_at"}),
        "relay_positions": frozenset({"topic", "partition", "topic_id", "next_offset"}),
        "dead_letters": frozenset(
            {
                *("id", "event_id", "topic", "partition", "offset", "error", "sent_at", "created_at", "resolution"),
                *("resolved_at", "length", "sha256", "refusal", "sent_as"),
            }
        ),
        "given_up_commands": frozenset(
            {"id", "event_id", "topic", "partition", "offset", "type", "correlation_id", "created_at"}
        ),
        "command_identities": frozenset(
            {
                *("hash", "created_at"),  # of bytes with ids and times that nobody guesses
                *("type", "correlation_id", "order_id", "outcome", "partition", "offset"),
                *("repeats", "repeated_at", "repeated_partition", "repeated_offset"),
            }
        ),
        "consumer_offsets": frozenset(
            {
                *("topic", "partition", "topic_id", "next_offset", "updated_at", "last_offset", "last_timestamp"),
                *("last_hash", "last_epoch", "floor_offset", "floor_at"),
            }
        ),
        "consumer_checkpoints": frozenset({"topic", "partition", "offset", "timestamp", "hash", "epoch", "kept_at"}),
        "kafka_cluster": frozenset({"cluster_id", "addresses", "seen_at"}),
        "operator_actions": frozenset({"id", "at", "action", "subject"}),
        "api_keys": frozenset({"id", "hash", "scopes", "created_at", "expires_at", "revoked_at", "last_used"}),
        "alarms": frozenset(
            {"name", "holder", "sentence", "evidence", "since", "last_at", "count", "ended_at", "ending"}
        ),
        "instances": frozenset({"name", "host", "pid", "version", "commit", "roles", "started_at", "seen_at", "parts"}),
        "console_secrets": frozenset({"made_at", "secret"}),
        "jobs": frozenset(
            {
                *("id", "kind", "state", "input", "once", "created_at", "deadline_at", "started_at", "ended_at"),
                *("holder", "held_until", "attempts", "trouble", "outcome", "version"),
            }
        ),
        "job_items": frozenset({"job_id", "number", "subject", "state", "result", "done_at"}),
        "watch": frozenset({"id", "holder", "held_until", "seen_at", "seen"}),
        "http_refusals": frozenset({"id", "path", "code", "order_id", "key", "correlation_id", "times", "created_at"}),
        "flow_minutes": frozenset({"minute", "holder", "figures"}),
    }
)
