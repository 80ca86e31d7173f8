"""Every setting, group by group: its variable, type, default and meaning. docs/settings.md is made of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.config import parsers
from app.config.parsers import Network, choice, number, topic
from app.database.url import normalized, without_secrets


def setting(
    variable: str,
    default: str,
    parse: Callable[[str], Any],
    meaning: str,
    *,
    redact: Callable[[Any], str] | None = None,
) -> Any:
    """Declare a setting. `redact`: it holds a secret; returns what the log may show of its value."""
    declared = {"variable": variable, "default": default, "parse": parse, "meaning": meaning, "redact": redact}
    return field(metadata=declared)


def _redacted_url(url: str) -> str:
    return url and without_secrets(url)


def _other_database_url(value: str) -> str:
    return normalized(value) if value else ""


@dataclass(frozen=True, kw_only=True)
class PostgresSettings:
    """PostgreSQL."""

    database_url: str = setting(
        "DATABASE_URL",
        "postgresql://postgres:postgres@localhost:5432/order_db",
        normalized,
        "PostgreSQL 14 or newer; several hosts in libpq's form or in SQLAlchemy's",
        redact=_redacted_url,
    )
    worker_database_url: str = setting(
        "WORKER_DATABASE_URL",
        "",
        _other_database_url,
        "another address of the same database without a pooler, for the Kafka threads, migrations and `flask orders`",
        redact=_redacted_url,
    )
    database_password_file: str = setting(
        "DATABASE_PASSWORD_FILE",
        "",
        parsers.printable,
        "file with the password of both addresses, which then hold none; read at each new connection",
        redact=str,  # a path may be shown; a refused value may be the password itself
    )
    database_pool: int = setting(
        "DATABASE_POOL", "16", number(1, 200), "maximum database connections for the requests of one process"
    )
    schema: str = setting(
        "SCHEMA",
        "ensure",
        choice("ensure", "check"),
        "`ensure`: migrate the database at start; `check`: only wait until it is at head",
    )


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """Kafka."""

    bootstrap_servers: tuple[str, ...] = setting(
        "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092", parsers.servers, "Kafka brokers, a comma list of host:port"
    )
    commands_topic: str = setting("KAFKA_COMMANDS_TOPIC", "order_commands", topic, "topic of the commands")
    events_topic: str = setting("KAFKA_EVENTS_TOPIC", "order_events", topic, "topic of events and replies")
    dead_letter_topic: str = setting(
        "KAFKA_DEAD_LETTER_TOPIC", "order_commands.dlq", topic, "topic of unreadable commands"
    )
    topic_partitions: int = setting(
        "KAFKA_TOPIC_PARTITIONS", "3", number(1, 1000), "partitions of a topic that the service creates"
    )
    topic_replication: int = setting(
        "KAFKA_TOPIC_REPLICATION",
        "0",
        number(0, 100),
        "replicas of a topic that the service creates; `0`: the cluster's default",
    )
    group_id: str = setting("KAFKA_GROUP_ID", "order-service-group", parsers.group_id, "consumer group of the commands")
    session_timeout_ms: int = setting(
        "KAFKA_SESSION_TIMEOUT_MS",
        "10000",
        number(1000, 300_000),
        "silence after which the group gives a consumer's partitions to another consumer; brokers allow no less than "
        "their `group.min.session.timeout.ms`, usually 6000",
    )
    consumer_batch: int = setting(
        "CONSUMER_BATCH", "500", number(1, 10_000), "maximum commands per transaction; more than 1000 count as 1000"
    )
    relay_batch: int = setting("RELAY_BATCH", "500", number(1, 10_000), "maximum events per relay batch")
    relay_poll_ms: int = setting(
        "RELAY_POLL_MS", "20", number(5, 2000), "interval at which the relay looks for events of other processes"
    )
    relay_settle_ms: int = setting(
        "RELAY_SETTLE_MS",
        "500",
        number(0, 10_000),
        "how long a new relay leader waits for sends in flight before it reads back",
    )


@dataclass(frozen=True, kw_only=True)
class KafkaSecuritySettings:
    """The way to Kafka."""

    kafka_security_protocol: str = setting(
        "KAFKA_SECURITY_PROTOCOL",
        "PLAINTEXT",
        choice("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
        "`SSL`, `SASL_SSL`: TLS, and the brokers' certificates and names are checked; `SASL_…`: the service logs in",
    )
    kafka_sasl_mechanism: str = setting(
        "KAFKA_SASL_MECHANISM",
        "",
        choice("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"),
        "how the service logs in: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`",
    )
    kafka_sasl_username: str = setting(
        "KAFKA_SASL_USERNAME", "", parsers.printable, "the service's user, for `PLAIN` and `SCRAM-…`"
    )
    kafka_sasl_password_file: str = setting(
        "KAFKA_SASL_PASSWORD_FILE", "", parsers.printable, "file with the user's password, one line", redact=str
    )
    kafka_sasl_token_file: str = setting(
        "KAFKA_SASL_TOKEN_FILE",
        "",
        parsers.printable,
        "file with the token for `OAUTHBEARER`, one line, which something else renews; it is read at each login",
        redact=str,  # a path may be shown; a refused value may be the secret itself
    )
    kafka_ssl_ca_file: str = setting(
        "KAFKA_SSL_CA_FILE",
        "",
        parsers.printable,
        "PEM file with the CAs that may sign the brokers' certificates; empty: those that the machine trusts",
    )
    kafka_ssl_certificate_file: str = setting(
        "KAFKA_SSL_CERTIFICATE_FILE",
        "",
        parsers.printable,
        "PEM file with the service's own certificate and the CAs between, where brokers ask for one (mutual TLS)",
    )
    kafka_ssl_key_file: str = setting(
        "KAFKA_SSL_KEY_FILE", "", parsers.printable, "PEM file with the key of that certificate"
    )
    kafka_ssl_key_password_file: str = setting(
        "KAFKA_SSL_KEY_PASSWORD_FILE",
        "",
        parsers.printable,
        "file with the password of that key, if it has one",
        redact=str,
    )


@dataclass(frozen=True, kw_only=True)
class HttpSettings:
    """HTTP."""

    host: tuple[str, ...] = setting(
        "HOST",
        "*",
        parsers.hosts,
        "addresses that the HTTP server listens on: `*` is every address, IPv4 and IPv6 where the machine has it; "
        "`localhost`; or a comma list such as `127.0.0.1,::1`",
    )
    port: int = setting("PORT", "3000", number(1, 65535), "port of the HTTP server")
    keep_alive_seconds: int = setting(
        "KEEP_ALIVE_SECONDS",
        "620",
        number(1, 86_400),
        "how long a connection may be idle; must be longer than a load balancer in front keeps it, which is 60 to 600",
    )
    forwarded_allow_ips: tuple[Network, ...] = setting(
        "FORWARDED_ALLOW_IPS",
        "",
        parsers.networks,
        "proxies whose `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` are believed: a comma list of addresses and "
        "networks, `*` for all, empty for none",
    )
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS", "http://localhost:5173", parsers.origins, "browser origins that may call, a comma list"
    )


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """Processes."""

    roles: str = setting(
        "ROLES",
        "all",
        choice("all", "api", "worker"),
        "`all`: HTTP and the Kafka threads; `api`: HTTP only; `worker`: Kafka threads, health and metrics only",
    )
    web_concurrency: int = setting("WEB_CONCURRENCY", "1", number(1, 200), "gunicorn worker processes")
    graceful_timeout: int = setting(
        "GRACEFUL_TIMEOUT", "20", number(1, 300), "seconds that a stopping worker has for its unfinished requests"
    )
    app_env: str = setting(
        "APP_ENV",
        "development",
        choice("development", "production"),
        "`production`: the start refuses what is not safe there ([security](security.md#what-production-refuses))",
    )
    allow_insecure: int = setting(
        "ALLOW_INSECURE",
        "0",
        number(0, 1),
        "`1`: start in production all the same, and log at each start what is unsafe",
    )
    check_at: str = setting(
        "CHECK_AT",
        "03:30",
        parsers.time_of_day,
        "when one process checks each day that all that is stored agrees, in UTC; empty for never",
    )
    drills: int = setting(
        "DRILLS",
        "0",
        number(0, 1),
        "`1`: `flask orders drill` may make faults on purpose, for the service and for the command that asks",
    )
    log_level: str = setting(
        "LOG_LEVEL",
        "info",
        choice("debug", "info", "warning", "error"),
        "least severe level that is logged; `debug` adds a line per request, command and record sent",
    )
    tracing: str = setting(
        "TRACING",
        "off",
        parsers.tracing,
        "`otlp`: send spans to a collector by OTLP over HTTP; where to, and of how many traces, OpenTelemetry's own "
        "variables say ([tracing](tracing.md))",
    )
    log_format: str = setting("LOG_FORMAT", "text", choice("text", "json"), "format of a log line: `text` or `json`")


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """How long data is kept."""

    refused_accept_seconds: int = setting(
        "REFUSED_ACCEPT_SECONDS",
        "15",
        number(0, 3600),
        "how long a refused accept is remembered for the bare `/clearRunner` that follows it",
    )
    idempotency_key_hours: int = setting(
        "IDEMPOTENCY_KEY_HOURS", "48", number(24, 8760), "how long the answer to an `Idempotency-Key` is kept"
    )
    http_refusal_hours: int = setting(
        "HTTP_REFUSAL_HOURS",
        "48",
        number(1, 8760),
        "how long it is kept which requests were refused, for the time line of an order and `flask orders why`",
    )
    command_identity_days: int = setting(
        "COMMAND_IDENTITY_DAYS",
        "30",
        number(1, 3650),
        "how long a command is recognised by its bytes; longer where Kafka keeps its topic longer",
    )
    dead_letter_days: int = setting(
        "DEAD_LETTER_DAYS",
        "30",
        number(1, 3650),
        "how long PostgreSQL keeps a dead letter that its topic has or refuses, or a command that was given up",
    )
    job_days: int = setting(
        "JOB_DAYS", "90", number(1, 3650), "how long a job that is over is kept, with what came of each thing"
    )
