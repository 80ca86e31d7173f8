"""The tables of what goes to Kafka and what came from there. `migrations/` makes them; see models.py."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from app.models.metadata import created_at, db

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
    created_at(),
    Column("refusal", Text),
    Column("traceparent", String(55)),
    comment="Events that are committed but not yet acknowledged by Kafka, in sending order",
)

known_events = Table(
    "known_events",
    db.metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("noted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "noted_at"),
    comment="Event ids that a read-back found in a topic: a row with one of them is not sent again",
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
    Column("traceparent", String(55)),
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
    created_at(),
    Column("resolution", String(10)),
    Column("resolved_at", DateTime(timezone=True)),
    Column("length", BigInteger),
    Column("sha256", LargeBinary),
    Column("refusal", Text),
    Column("sent_as", Text),
    UniqueConstraint("event_id"),
    CheckConstraint("resolution IN ('replayed', 'discarded', 'mended')", "resolution"),
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
    created_at(),
    UniqueConstraint("event_id"),
    comment="Every command that could not be handled and was answered with internal_error, with its bytes",
)

command_identities = Table(
    "command_identities",
    db.metadata,
    Column("hash", LargeBinary, primary_key=True),
    created_at(),
    Column("type", String(40)),
    Column("correlation_id", String(255)),
    Column("order_id", String(255)),
    Column("outcome", String(40)),
    Column("partition", Integer),
    Column("offset", BigInteger),
    Column("repeats", Integer),
    Column("repeated_at", DateTime(timezone=True)),
    Column("repeated_partition", Integer),
    Column("repeated_offset", BigInteger),
    Index(None, "created_at"),
    Index(None, "order_id", postgresql_where=text("order_id IS NOT NULL")),
    Index(None, "correlation_id", postgresql_where=text("correlation_id IS NOT NULL")),
    comment="SHA-256 of the bytes of every command handled: the same bytes again are the same command. What was "
    "refused, changed nothing or came again has its facts here; the others have their line in order_changes",
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
