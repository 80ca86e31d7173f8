"""The lanes of the relay: which rows of which table go to a topic, and the statements over them.

Rows of a partition that cannot be written to are set aside: their ids move below zero, into a range of the partition's
own, where a look for the oldest rows does not meet them. There is no bound for how many wait, and none is in memory.
"""

from dataclasses import dataclass

ASIDE_RANGE = 1 << 44  # ids of a partition that are set aside: half a century at 10,000 per second


@dataclass(frozen=True, slots=True)
class Lane:
    """Rows of one table that go to one topic; `headers`: the names of the columns after a record's value.

    A row of `select` has id, event id, seconds since it was committed, key, value, headers.

    `select` takes a floor and two limits, `take_out` an array of ids, `select_aside` two bounds and two limits,
    `set_aside` an array of ids and what is subtracted from them. A lane without the last two promises no order: its
    leader passes rows by until it has seen the last one.
    `refuse` takes a reason and the event id of a row that the topic refuses; `leaves_out`: that row is left out then.
    """

    name: str
    table: str
    headers: tuple[str, ...]
    select: str
    take_out: str
    select_aside: str = ""
    set_aside: str = ""
    refuse: str = ""
    leaves_out: bool = False

    @property
    def lock(self) -> str:
        """The name of the advisory lock."""
        return f"relay:{self.name}"


_AGE = "extract(epoch FROM clock_timestamp() - created_at)::float8"


def _oldest_events(condition: str) -> str:
    return (
        f"SELECT id, event_id, {_AGE}, "
        "convert_to(aggregateid, 'UTF8'), payload, type, correlation_id, version::text, traceparent "
        "FROM (SELECT *, sum(octet_length(payload)) OVER (ORDER BY id) AS bytes "
        f"FROM (SELECT * FROM outbox WHERE {condition} ORDER BY id LIMIT %s) AS oldest) AS bounded "
        "WHERE bytes <= %s OR bytes = octet_length(payload) ORDER BY id"
    )


_EVENT = (
    "event_id, aggregatetype, aggregateid, type, correlation_id, version, payload, created_at, refusal, traceparent"
)
EVENTS = Lane(
    "events",
    "outbox",
    ("type", "correlation_id", "version", "traceparent"),
    select=_oldest_events("id > %s"),
    take_out="DELETE FROM outbox WHERE id = ANY (%s)",
    select_aside=_oldest_events("id >= %s AND id < %s"),
    set_aside=f"WITH gone AS (DELETE FROM outbox WHERE id = ANY (%s) RETURNING id, {_EVENT}) "
    f"INSERT INTO outbox (id, {_EVENT}) OVERRIDING SYSTEM VALUE SELECT id - %s, {_EVENT} FROM gone",
    refuse="UPDATE outbox SET refusal = %s WHERE event_id = %s",
)
DEAD_LETTERS = Lane(
    "dead_letters",
    "dead_letters",
    (
        "error",
        "original_topic",
        "original_partition",
        "original_offset",
        "truncated",
        "original_length",
        "original_sha256",
    ),
    select=f"SELECT id, event_id, {_AGE}, key, value, error, topic, partition::text, "
    "\"offset\"::text, CASE WHEN sha256 IS NOT NULL THEN 'true' END, length::text, encode(sha256, 'hex') "
    "FROM (SELECT *, sum(size) OVER (ORDER BY id) AS bytes "
    "FROM (SELECT *, coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0) AS size "
    "FROM dead_letters WHERE sent_at IS NULL AND refusal IS NULL AND id > %s ORDER BY id LIMIT %s) AS oldest) "
    "AS bounded "
    "WHERE bytes <= %s OR bytes = size ORDER BY id",
    take_out="UPDATE dead_letters SET sent_at = now() WHERE id = ANY (%s)",
    refuse="UPDATE dead_letters SET refusal = %s WHERE event_id = %s AND sent_at IS NULL",
    leaves_out=True,
)
