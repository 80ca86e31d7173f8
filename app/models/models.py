"""The tables. `migrations/` brings a database to this shape; a test holds the two against each other."""

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.order import OrderStatus, PaymentStatus

__all__ = ["Order", "OrderStatus", "PaymentStatus", "db"]

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "%(table_name)s_pkey",
}

db = SQLAlchemy(metadata=MetaData(naming_convention=NAMING_CONVENTION))


def _one_of(column: str, values: type[OrderStatus] | type[PaymentStatus]) -> str:
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


class Order(db.Model):  # type: ignore[name-defined,misc]
    """One order as it is now. Times are without zone, in UTC, as in the service that had this table before."""

    __tablename__ = "orders"

    order_id = mapped_column(String(255), primary_key=True)
    cust_id = mapped_column(String(255), nullable=False)
    runner_id = mapped_column(String(255))
    order_description = mapped_column(Text, nullable=False)
    food_fee = mapped_column(Numeric(5, 2), nullable=False)
    delivery_fee = mapped_column(Numeric(5, 2), nullable=False)
    store_location = mapped_column(String(255))
    delivery_location = mapped_column(String(255), nullable=False)
    order_status = mapped_column(String(10), nullable=False)
    saga_id = mapped_column(String(255), index=True)
    created_at = mapped_column(DateTime, nullable=False)
    updated_at = mapped_column(DateTime, nullable=False)
    accepted_at = mapped_column(DateTime)
    placed_at = mapped_column(DateTime)
    picked_up_at = mapped_column(DateTime)
    delivered_at = mapped_column(DateTime)
    completed_at = mapped_column(DateTime)
    cancelled_at = mapped_column(DateTime)
    payment_status = mapped_column(String(10), nullable=False, server_default="PENDING")
    cancel_reason = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer, nullable=False, server_default="1")

    __table_args__ = (
        CheckConstraint(_one_of("order_status", OrderStatus), "order_status"),
        CheckConstraint(_one_of("payment_status", PaymentStatus), "payment_status"),
        # Each list of the contract is newest first: by itself, and under one filter.
        Index(None, "created_at", "order_id"),
        Index(None, "order_status", "created_at", "order_id"),
        Index(None, "runner_id", "created_at", "order_id"),
        Index(None, "cust_id", "created_at", "order_id"),
    )


def _now() -> Column[object]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


order_changes = Table(
    "order_changes",
    db.metadata,
    Column("order_id", String(255), nullable=False),
    Column("version", Integer, nullable=False),
    Column("change_id", Uuid, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("from_status", String(10)),
    Column("to_status", String(10), nullable=False),
    Column("payment_status", String(10), nullable=False),
    Column("runner_id", String(255)),
    Column("door", String(10), nullable=False),
    Column("correlation_id", String(255), nullable=False),
    Column("source_topic", Text),
    Column("source_partition", Integer),
    Column("source_offset", BigInteger),
    _now(),
    PrimaryKeyConstraint("order_id", "version"),
    comment="History: one line per change of an order; the primary key keeps its versions gapless and single",
)

outbox = Table(
    "outbox",
    db.metadata,
    Column("id", BigInteger, Identity(always=True, cache=1), primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("aggregatetype", String(20), nullable=False, server_default="order"),
    Column("aggregateid", String(255), nullable=False),
    Column("type", String(40), nullable=False),
    Column("correlation_id", String(255), nullable=False),
    Column("version", Integer),
    Column("payload", LargeBinary, nullable=False),
    _now(),
    Column("refusal", Text),
    comment="Events that are committed but not yet acknowledged by Kafka, in sending order",
)

dead_letters = Table(
    "dead_letters",
    db.metadata,
    Column("id", BigInteger, Identity(always=True, cache=1), primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("error", Text, nullable=False),
    Column("sent_at", DateTime(timezone=True)),
    _now(),
    Column("resolution", String(10)),
    Column("resolved_at", DateTime(timezone=True)),
    Column("length", BigInteger),
    Column("sha256", LargeBinary),
    Column("refusal", Text),
    UniqueConstraint("event_id"),
    CheckConstraint("resolution IN ('replayed', 'discarded')", "resolution"),
    CheckConstraint("(resolution IS NULL) = (resolved_at IS NULL)", "resolved"),
    Index("ix_dead_letters_unsent", "id", postgresql_where=text("sent_at IS NULL")),
    comment="Every command that could not be read, with its bytes; the relay sends them to the dead letter topic",
)

given_up_commands = Table(
    "given_up_commands",
    db.metadata,
    Column("id", BigInteger, Identity(always=True, cache=1), primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("type", String(40), nullable=False),
    Column("correlation_id", String(255), nullable=False),
    Column("error", Text, nullable=False),
    _now(),
    UniqueConstraint("event_id"),
    comment="Every command that could not be handled and was answered with internal_error, with its bytes",
)

idempotency_keys = Table(
    "idempotency_keys",
    db.metadata,
    Column("path", String(64), nullable=False),
    Column("key", String(255), nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    _now(),
    PrimaryKeyConstraint("path", "key"),
    Index(None, "created_at"),
    comment="Answers given under an Idempotency-Key, to be given again",
)

command_identities = Table(
    "command_identities",
    db.metadata,
    Column("hash", LargeBinary, primary_key=True),
    _now(),
    Index(None, "created_at"),
    comment="SHA-256 of the bytes of every command handled: the same bytes again are the same command",
)

saga_orders = Table(
    "saga_orders",
    db.metadata,
    Column("saga_id", String(255), primary_key=True),
    Column("order_id", String(255), nullable=False),
    comment="Which order a saga made; kept for ever",
)

refused_accepts = Table(
    "refused_accepts",
    db.metadata,
    Column("order_id", String(255), nullable=False),
    Column("runner_id", String(255), nullable=False),
    Column("refused_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("used_by", Uuid),
    Column("used_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("order_id", "runner_id"),
    Index(None, "refused_at"),
    comment="Runners whose accept was refused a moment ago: their bare clearRunner must not take the winner's order",
)

consumer_offsets = Table(
    "consumer_offsets",
    db.metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("topic_id", Uuid, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("last_offset", BigInteger),
    Column("last_timestamp", BigInteger),
    Column("last_hash", LargeBinary),
    Column("last_epoch", Integer),
    Column("floor_offset", BigInteger),
    Column("floor_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("topic", "partition"),
    comment="The next command to handle of each partition; moved in the transaction that holds the effects",
)

consumer_checkpoints = Table(
    "consumer_checkpoints",
    db.metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("epoch", Integer),
    Column("kept_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("topic", "partition", "offset"),
    comment="Some of the commands handled so far, ever fewer into the past: where a log that was replaced parts from "
    "the one that was handled",
)

kafka_cluster = Table(
    "kafka_cluster",
    db.metadata,
    Column("cluster_id", Text, primary_key=True),
    Column("addresses", Text, nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="The Kafka cluster that offsets and positions are of; one row",
)

relay_positions = Table(
    "relay_positions",
    db.metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("topic_id", Uuid, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("topic", "partition"),
    comment="Up to where each topic holds nothing that is still in the outbox: read-back starts here",
)

known_events = Table(
    "known_events",
    db.metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("noted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "noted_at"),
    comment="Event ids that a read-back found in a topic: a row with one of them is not sent again",
)

order_counts = Table(
    "order_counts",
    db.metadata,
    Column("kind", String(10), nullable=False),
    Column("value", String(255, collation="C"), nullable=False),
    Column("orders", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "value"),
    comment="How many orders have a status, customer, runner, or were made on a day, in an hour or in a minute (UTC), "
    "but for what is in order_count_deltas",
)

order_count_deltas = Table(
    "order_count_deltas",
    db.metadata,
    Column("sign", SmallInteger, nullable=False),
    Column("order_status", String(10), nullable=False),
    Column("cust_id", String(255)),
    Column("runner_id", String(255)),
    Column("created_at", DateTime),
    Column("id", BigInteger, Identity(always=True, cache=1), primary_key=True),
    comment="What changed since: an order came (1) or went (-1) with this status, customer, runner and "
    "time; folded into order_counts every second",
)

order_count_floors = Table(
    "order_count_floors",
    db.metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    comment="No row of order_count_deltas has an id up to the highest of these, nor will one ever have",
)

taken_out_events = Table(
    "taken_out_events",
    db.metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("outbox_id", BigInteger, nullable=False),
    Column("aggregateid", String(255), nullable=False),
    Column("type", String(40), nullable=False),
    Column("correlation_id", String(255), nullable=False),
    Column("version", Integer),
    Column("payload", LargeBinary, nullable=False),
    Column("refusal", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("taken_out_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("put_back_at", DateTime(timezone=True)),
    comment="Events that Kafka refused and an operator took out of the outbox: holes for consumers, until they are put "
    "back",
)

lost_events = Table(
    "lost_events",
    db.metadata,
    Column("change_id", Uuid, primary_key=True),
    Column("order_id", String(255), nullable=False),
    Column("version", Integer, nullable=False),
    Column("found_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("announced_at", DateTime(timezone=True)),
    comment="Changes whose event Kafka acknowledged and lost, as `find-lost` found them, until it is announced again",
)

order_count_marks = Table(
    "order_count_marks",
    db.metadata,
    Column("mark", String(20), primary_key=True),
    comment="`statuses`: the days, hours and minutes of each status are counted for orders of all times",
)

operator_actions = Table(
    "operator_actions",
    db.metadata,
    Column("id", BigInteger, Identity(always=True, cache=1), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("who", String(255), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("bytes", LargeBinary),
    comment="Audit: one line for each change that an operator made by the command line",
)

alarms = Table(
    "alarms",
    db.metadata,
    Column("name", String(255), nullable=False),
    Column("holder", String(255), nullable=False),
    Column("sentence", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("ending", String(20)),
    PrimaryKeyConstraint("name", "holder"),
    CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", "ended"),
    comment="What a person should look at: conditions, each renewed by the process that holds it, and happenings "
    "(without a holder), which a person acknowledges",
)

watch = Table(
    "watch",
    db.metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("holder", String(255), nullable=False),
    Column("held_until", DateTime(timezone=True), nullable=False),
    Column("seen_at", DateTime(timezone=True)),
    Column("seen", Text),
    CheckConstraint("id = 1", "one"),
    comment="One row: which process watches, and what it saw last, for all to show",
)
