"""The tables of what the service and its operators tell about themselves. `migrations/` makes them; see models.py."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

from app.models.metadata import created_at, db

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

api_keys = Table(
    "api_keys",
    db.metadata,
    Column("id", String(12), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("scopes", String(255), nullable=False),
    created_at(),
    Column("created_by", String(255), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("last_used", DateTime(timezone=True)),
    CheckConstraint("octet_length(hash) = 32", "hash"),
    comment="API keys: the SHA-256 of each, whose it is, and what it may; the key itself is with its owner alone. "
    "`last_used` is the hour",
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

instances = Table(
    "instances",
    db.metadata,
    Column("name", String(255), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(40), nullable=False),
    Column("commit", String(64), nullable=False),
    Column("roles", String(10), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("parts", Text, nullable=False),
    comment="Processes of the service: what each last said of itself. One that ends takes its row with it; one that "
    "says nothing any more was killed, or stands still",
)

console_secrets = Table(
    "console_secrets",
    db.metadata,
    Column("made_at", DateTime(timezone=True), primary_key=True, server_default=func.now()),
    Column("secret", LargeBinary, nullable=False),
    CheckConstraint("octet_length(secret) = 32", "secret"),
    comment="Secrets that sign the cookies of the console: whoever may read them could sign in as anybody",
)

flow_minutes = Table(
    "flow_minutes",
    db.metadata,
    Column("minute", DateTime(timezone=True), nullable=False),
    Column("holder", String(255), nullable=False),
    Column("figures", Text, nullable=False),
    PrimaryKeyConstraint("minute", "holder"),
    comment="What each process did in a minute, in JSON; kept for a day",
)

http_refusals = Table(
    "http_refusals",
    db.metadata,
    Column("id", BigInteger, Identity(always=True, cache=1), primary_key=True),
    Column("path", Text, nullable=False),
    Column("code", String(40), nullable=False),
    Column("order_id", String(255)),
    Column("key", String(255)),
    Column("correlation_id", String(255), nullable=False),
    Column("times", Integer, nullable=False),
    created_at(),
    Index("ix_http_refusals_order_id", "order_id", "id", postgresql_where=text("order_id IS NOT NULL")),
    Index("ix_http_refusals_key", "key", "id", postgresql_where=text("key IS NOT NULL")),
    Index("ix_http_refusals_correlation_id", "correlation_id", "id"),
    comment="Requests of one second and one process that were refused alike: by path, code, order and "
    "Idempotency-Key; kept for HTTP_REFUSAL_HOURS",
)

jobs = Table(
    "jobs",
    db.metadata,
    Column("id", BigInteger, Identity(always=True, cache=1), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("state", String(10), nullable=False, server_default="waiting"),
    Column("who", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("once", String(40)),
    created_at(),
    Column("deadline_at", DateTime(timezone=True), nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("holder", String(255)),
    Column("held_until", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("stopped_by", String(255)),
    Column("trouble", Text),
    Column("outcome", Text),
    Column("result", Text),
    Column("version", String(40)),
    UniqueConstraint("once"),
    CheckConstraint("state IN ('waiting', 'running', 'done', 'failed', 'stopped')", "state"),
    CheckConstraint("(ended_at IS NULL) = (state IN ('waiting', 'running'))", "ended"),
    Index("ix_jobs_open", "id", postgresql_where=text("ended_at IS NULL")),
    comment="Work that a person, or the clock, starts and one process at a time does; `held_until` is that process's "
    "lease, or how long the job rests",
)

job_items = Table(
    "job_items",
    db.metadata,
    Column("job_id", BigInteger, ForeignKey("jobs.id", ondelete="CASCADE", name="fk_job_items_job"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("subject", String(255), nullable=False),
    Column("state", String(10), nullable=False, server_default="waiting"),
    Column("result", Text),
    Column("done_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("job_id", "number"),
    CheckConstraint("state IN ('waiting', 'done', 'failed')", "state"),
    CheckConstraint("(done_at IS NULL) = (state = 'waiting')", "done"),
    comment="One thing that a job does, and what came of it; marked in the transaction of its effect",
)
