"""Every setting: its variable, type, default and meaning. Read once, at start; the README's table is made of it."""

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from dotenv import load_dotenv

from app.utils.database_url import normalized, without_secrets


class SettingsError(Exception):
    """A setting cannot be used; the sentence names the variable."""


def _text(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def _choice(*names: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value.lower()

    return parse


def _topic(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value) or value in (".", ".."):
        raise ValueError("must be a Kafka topic name: 1 to 249 of the characters A-Z a-z 0-9 . _ -")
    return value


def _other_database_url(value: str) -> str:
    return normalized(value) if value else ""


def _servers(value: str) -> tuple[str, ...]:
    servers = tuple(part.strip() for part in value.split(",") if part.strip())
    if not servers or not all(re.fullmatch(r".+:[0-9]{1,5}", server) for server in servers):
        raise ValueError("must be a comma list of host:port")
    return servers


def _origins(value: str) -> tuple[str, ...]:
    return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())


def _setting(variable: str, default: str, parse: Callable[[str], Any], meaning: str) -> Any:
    return field(metadata={"variable": variable, "default": default, "parse": parse, "meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration of one process."""

    database_url: str = _setting(
        "DATABASE_URL",
        "postgresql://postgres:postgres@localhost:5432/order_db",
        normalized,
        "PostgreSQL 14 or newer; several hosts in libpq's form or in SQLAlchemy's",
    )
    worker_database_url: str = _setting(
        "WORKER_DATABASE_URL",
        "",
        _other_database_url,
        "another address of the same database, without a pooler, for the Kafka threads, migrations and `flask orders`",
    )
    bootstrap_servers: tuple[str, ...] = _setting(
        "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092", _servers, "Kafka brokers, a comma list of host:port"
    )
    port: int = _setting("PORT", "3000", _number(1, 65535), "port of the HTTP server")
    roles: str = _setting(
        "ROLES",
        "all",
        _choice("all", "api", "worker"),
        "`all`: HTTP and the Kafka threads; `api`: HTTP only; `worker`: Kafka threads, health and metrics only",
    )
    schema: str = _setting(
        "SCHEMA",
        "ensure",
        _choice("ensure", "check"),
        "`ensure`: migrate the database at start; `check`: only wait until it is at head",
    )
    commands_topic: str = _setting("KAFKA_COMMANDS_TOPIC", "order_commands", _topic, "topic of the commands")
    events_topic: str = _setting("KAFKA_EVENTS_TOPIC", "order_events", _topic, "topic of events and replies")
    dead_letter_topic: str = _setting(
        "KAFKA_DEAD_LETTER_TOPIC", "order_commands.dlq", _topic, "topic of unreadable commands"
    )
    group_id: str = _setting("KAFKA_GROUP_ID", "order-service-group", _text, "consumer group of the commands")
    session_timeout_ms: int = _setting(
        "KAFKA_SESSION_TIMEOUT_MS",
        "10000",
        _number(1000, 300_000),
        "after this silence the group gives a consumer's partitions to another one",
    )
    consumer_batch: int = _setting("CONSUMER_BATCH", "500", _number(1, 10_000), "most commands in one transaction")
    relay_batch: int = _setting("RELAY_BATCH", "500", _number(1, 10_000), "most events sent before one is confirmed")
    relay_poll_ms: int = _setting(
        "RELAY_POLL_MS", "20", _number(5, 2000), "how often the relay looks for events of other processes"
    )
    relay_settle_ms: int = _setting(
        "RELAY_SETTLE_MS",
        "500",
        _number(0, 10_000),
        "how long a new relay leader lets its predecessor's last sends land before it reads back",
    )
    web_threads: int = _setting("WEB_THREADS", "32", _number(1, 200), "HTTP threads of each gunicorn worker")
    web_concurrency: int = _setting("WEB_CONCURRENCY", "1", _number(1, 200), "gunicorn worker processes")
    cpu_affinity: str = _setting(
        "CPU_AFFINITY",
        "one",
        _choice("one", "any"),
        "`one`: each worker process keeps to one CPU at a time, the freest, where its threads take turns; "
        "`any`: the system spreads them",
    )
    database_pool: int = _setting(
        "DATABASE_POOL", "16", _number(1, 200), "most database connections of the HTTP threads of one process"
    )
    graceful_timeout: int = _setting(
        "GRACEFUL_TIMEOUT", "20", _number(1, 300), "seconds that a stopping worker has to finish its requests"
    )
    refused_accept_seconds: int = _setting(
        "REFUSED_ACCEPT_SECONDS",
        "15",
        _number(0, 3600),
        "how long a refused accept is remembered, for the bare `/clearRunner` that follows it",
    )
    idempotency_key_hours: int = _setting(
        "IDEMPOTENCY_KEY_HOURS", "48", _number(24, 8760), "how long the answer to an `Idempotency-Key` is kept"
    )
    command_identity_days: int = _setting(
        "COMMAND_IDENTITY_DAYS",
        "30",
        _number(1, 3650),
        "how long a command is known by its bytes; longer where Kafka keeps its topic longer",
    )
    cors_origins: tuple[str, ...] = _setting(
        "CORS_ORIGINS", "http://localhost:5173", _origins, "browser origins that may call, a comma list"
    )
    log_level: str = _setting(
        "LOG_LEVEL",
        "info",
        _choice("debug", "info", "warning", "error"),
        "least severe line that is logged; `debug` has one line a request, command and record sent",
    )
    log_format: str = _setting("LOG_FORMAT", "text", _choice("text", "json"), "how a line looks: `text` or `json`")

    def __post_init__(self) -> None:
        """Refuse topics that share a name: a dead letter that is a command again would go round for ever."""
        if len({self.commands_topic, self.events_topic, self.dead_letter_topic}) < 3:
            topics = "KAFKA_COMMANDS_TOPIC, KAFKA_EVENTS_TOPIC and KAFKA_DEAD_LETTER_TOPIC"
            raise SettingsError(f"{topics} must have three different names")

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> "Settings":
        """Return the settings in `environment`. Raises SettingsError with a sentence that names the variable."""
        return cls(**{setting.name: _parsed(setting.metadata, environment) for setting in fields(cls)})

    @property
    def worker_url(self) -> str:
        """The address of the database for everything but HTTP."""
        return self.worker_database_url or self.database_url

    @property
    def consumes(self) -> bool:
        """Whether this process runs the Kafka threads."""
        return self.roles in ("all", "worker")

    @property
    def serves_orders(self) -> bool:
        """Whether this process answers the order endpoints."""
        return self.roles in ("all", "api")

    def __repr__(self) -> str:
        """Show the settings without secrets, for the log."""
        values = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        values |= {name: without_secrets(url) for name, url in values.items() if name.endswith("database_url") and url}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in values.items())})"


def _parsed(metadata: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    variable = metadata["variable"]
    value = environment.get(variable, metadata["default"])
    try:
        return metadata["parse"](value)
    except ValueError as error:
        shown = "" if variable.endswith("DATABASE_URL") else f" (it is {value[:100]!r})"
        raise SettingsError(f"{variable} {error}{shown}") from None


def from_environment() -> Settings:
    """Return the settings of the environment and of a `.env` file. Ends the process with a sentence on a bad one."""
    load_dotenv()
    try:
        return Settings.load(os.environ)
    except SettingsError as error:
        sys.exit(f"The service cannot start: {error}.")


def as_markdown() -> str:
    """Return the table of settings for the README."""
    rows = (setting.metadata for setting in fields(Settings))
    lines = [f"| `{row['variable']}` | `{row['default']}` | {row['meaning']} |" for row in rows]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *lines])


if __name__ == "__main__":  # `python app/config/config.py`: a sentence and exit code 1, or nothing
    from_environment()
