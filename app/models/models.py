"""The tables of orders and their answers. `migrations/` brings a database to this shape; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models import kafka_tables, service_tables  # noqa: F401 - with them the metadata has all tables
from app.models.metadata import created_at, db
from app.models.order import OrderStatus, PaymentStatus

__all__ = ["Order", "OrderStatus", "PaymentStatus", "db"]


def _one_of(column: str, values: type[OrderStatus] | type[PaymentStatus]) -> str:
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


class Order(db.Model):  # type: ignore[name-defined,misc]  # as Flask-SQLAlchemy says to write it
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
    created_at(),
    Column("caller", String(255)),
    Column("traceparent", String(55)),
    PrimaryKeyConstraint("order_id", "version"),
    Index(
        "ix_order_changes_ids",
        "created_at",
        "correlation_id",
        "change_id",
        postgresql_using="brin",
        postgresql_ops={
            "correlation_id": "text_bloom_ops (n_distinct_per_range=2100, false_positive_rate=0.001)",
            "change_id": "uuid_bloom_ops (n_distinct_per_range=2100, false_positive_rate=0.001)",
        },
        postgresql_with={"pages_per_range": 44, "autosummarize": "on"},
    ),
    comment="History: one line per change of an order; the primary key keeps its versions gapless and single",
)

idempotency_keys = Table(
    "idempotency_keys",
    db.metadata,
    Column("path", String(64), nullable=False),
    Column("key", String(255), nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    created_at(),
    PrimaryKeyConstraint("path", "key"),
    Index(None, "created_at"),
    comment="Answers given under an Idempotency-Key, to be given again",
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

saga_orders = Table(
    "saga_orders",
    db.metadata,
    Column("saga_id", String(255), primary_key=True),
    Column("order_id", String(255), nullable=False),
    comment="Which order a saga made; kept for ever",
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

order_count_marks = Table(
    "order_count_marks",
    db.metadata,
    Column("mark", String(20), primary_key=True),
    comment="`statuses`: the days, hours and minutes of each status are counted for orders of all times",
)
