"""Every setting: its variable, type, default and meaning. docs/settings.md is made from them (tools/settings_page.py).

gunicorn's master has them read at start, and anew on SIGHUP (app/server/master.py).
"""

import ipaddress
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from app.database.url import normalized, without_secrets

ENV_FILE = Path(__file__).resolve().parents[2] / ".env"  # this one alone: the folders above belong to others
GONE = {
    "WEB_THREADS": "requests no longer have threads",
    "CPU_AFFINITY": "a worker is one thread for HTTP",
}
"""Settings that do nothing any more, and why."""

HAS_READ_ENV_FILE = "ORDER_SERVICE_HAS_READ_ENV_FILE"
"""Set by gunicorn's master for its workers: one that starts later must not meet a file that was edited meanwhile."""

_INTERNAL_TOPICS = ("__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata")
_OF_MASTER = ("host", "port", "web_concurrency", "keep_alive_seconds", "graceful_timeout", "log_level", "log_format")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class SettingsError(Exception):
    """A setting cannot be used; the sentence names the variable."""


def _group(value: str) -> str:
    if not value.isprintable() or value != value.strip() or not 1 <= len(value) <= 255:
        raise ValueError("must be 1 to 255 printable characters without spaces at its ends")
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
    if value in _INTERNAL_TOPICS:
        raise ValueError("must be a topic that is not Kafka's own")
    return value


def _other_database_url(value: str) -> str:
    return normalized(value) if value else ""


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _servers(value: str) -> tuple[str, ...]:
    """Return host:port each. The client takes a protocol before the host in silence, and then does not speak it."""
    servers = tuple(_parts(value))
    if not servers or not all(map(_is_server, servers)):
        raise ValueError("must be a comma list of host:port, without a protocol, an IPv6 address in brackets")
    return servers


def _is_server(value: str) -> bool:
    host, _, port = value.rpartition(":")
    named = re.fullmatch(r"[A-Za-z0-9._-]{1,255}", host) is not None
    bracketed = host.startswith("[") and host.endswith("]") and is_address(host[1:-1], 6)
    return (named or bracketed) and re.fullmatch(r"[0-9]{1,5}", port) is not None and 1 <= int(port) <= 65535


def is_address(value: str, *versions: int) -> bool:
    """Tell whether it is an IP address, of these versions where some are given."""
    try:
        return ipaddress.ip_address(value).version in (versions or (4, 6))
    except ValueError:
        return False


def _hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(part.strip("[]") for part in _parts(value))
    if not hosts or not all(host in ("*", "localhost") or is_address(host) for host in hosts):
        raise ValueError("must be *, localhost, or a comma list of IP addresses of this machine")
    return hosts


def _networks(value: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(
            ipaddress.ip_network(network)
            for part in _parts(value)
            for network in (("0.0.0.0/0", "::/0") if part == "*" else (part,))
        )
    except ValueError:
        raise ValueError(
            "must be a comma list of IP addresses and networks such as 10.0.0.0/8, * for all, or empty for none"
        ) from None


def _origins(value: str) -> tuple[str, ...]:
    """Return the origins as browsers send them: in lower case, without a path and a port that goes without saying."""
    origins = tuple(map(_origin, _parts(value)))
    if value and not origins:
        raise ValueError("must be a comma list of origins, or empty for none")
    return origins


def _origin(value: str) -> str:
    match = re.fullmatch(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?", value.lower())
    if match is None or not 1 <= int(match[3] or 1) <= 65535:
        raise ValueError(
            "must be a comma list of origins as browsers send them, such as https://orders.example or "
            "http://localhost:5173: a scheme, a host (xn--... for other letters), a port if need be, nothing behind it"
        )
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{int(port)}"


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
        "another address of the same database without a pooler, for the Kafka threads, migrations and `flask orders`",
    )
    bootstrap_servers: tuple[str, ...] = _setting(
        "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092", _servers, "Kafka brokers, a comma list of host:port"
    )
    host: tuple[str, ...] = _setting(
        "HOST",
        "*",
        _hosts,
        "addresses that the HTTP server listens on: `*` is every address, IPv4 and IPv6 where the machine has it; "
        "`localhost`; or a comma list such as `127.0.0.1,::1`",
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
    topic_partitions: int = _setting(
        "KAFKA_TOPIC_PARTITIONS", "3", _number(1, 1000), "partitions of a topic that the service creates"
    )
    topic_replication: int = _setting(
        "KAFKA_TOPIC_REPLICATION",
        "0",
        _number(0, 100),
        "replicas of a topic that the service creates; `0`: the cluster's default",
    )
    group_id: str = _setting("KAFKA_GROUP_ID", "order-service-group", _group, "consumer group of the commands")
    session_timeout_ms: int = _setting(
        "KAFKA_SESSION_TIMEOUT_MS",
        "10000",
        _number(1000, 300_000),
        "silence after which the group gives a consumer's partitions to another consumer; brokers allow no less than "
        "their `group.min.session.timeout.ms`, usually 6000",
    )
    consumer_batch: int = _setting("CONSUMER_BATCH", "500", _number(1, 10_000), "maximum commands per transaction")
    relay_batch: int = _setting("RELAY_BATCH", "500", _number(1, 10_000), "maximum events per relay batch")
    relay_poll_ms: int = _setting(
        "RELAY_POLL_MS", "20", _number(5, 2000), "interval at which the relay looks for events of other processes"
    )
    relay_settle_ms: int = _setting(
        "RELAY_SETTLE_MS",
        "500",
        _number(0, 10_000),
        "how long a new relay leader waits for sends in flight before it reads back",
    )
    keep_alive_seconds: int = _setting(
        "KEEP_ALIVE_SECONDS",
        "620",
        _number(1, 86_400),
        "how long a connection may be idle; must be longer than a load balancer in front keeps it, which is 60 to 600",
    )
    forwarded_allow_ips: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = _setting(
        "FORWARDED_ALLOW_IPS",
        "",
        _networks,
        "proxies whose `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` are believed: a comma list of addresses and "
        "networks, `*` for all, empty for none",
    )
    web_concurrency: int = _setting("WEB_CONCURRENCY", "1", _number(1, 200), "gunicorn worker processes")
    database_pool: int = _setting(
        "DATABASE_POOL", "16", _number(1, 200), "maximum database connections for the requests of one process"
    )
    graceful_timeout: int = _setting(
        "GRACEFUL_TIMEOUT", "20", _number(1, 300), "seconds that a stopping worker has for its unfinished requests"
    )
    refused_accept_seconds: int = _setting(
        "REFUSED_ACCEPT_SECONDS",
        "15",
        _number(0, 3600),
        "how long a refused accept is remembered for the bare `/clearRunner` that follows it",
    )
    idempotency_key_hours: int = _setting(
        "IDEMPOTENCY_KEY_HOURS", "48", _number(24, 8760), "how long the answer to an `Idempotency-Key` is kept"
    )
    command_identity_days: int = _setting(
        "COMMAND_IDENTITY_DAYS",
        "30",
        _number(1, 3650),
        "how long a command is recognised by its bytes; longer where Kafka keeps its topic longer",
    )
    dead_letter_days: int = _setting(
        "DEAD_LETTER_DAYS",
        "30",
        _number(1, 3650),
        "how long PostgreSQL keeps a dead letter that its topic has or refuses, or a command that was given up",
    )
    cors_origins: tuple[str, ...] = _setting(
        "CORS_ORIGINS", "http://localhost:5173", _origins, "browser origins that may call, a comma list"
    )
    log_level: str = _setting(
        "LOG_LEVEL",
        "info",
        _choice("debug", "info", "warning", "error"),
        "least severe level that is logged; `debug` adds a line per request, command and record sent",
    )
    log_format: str = _setting("LOG_FORMAT", "text", _choice("text", "json"), "format of a log line: `text` or `json`")

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


def env_file_values(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the lines of `.env` beside the service that `environment` does not have itself. Raises SettingsError."""
    if HAS_READ_ENV_FILE in environment or not ENV_FILE.is_file():
        return {}
    try:
        lines = dotenv_values(ENV_FILE)
    except (OSError, ValueError) as error:
        raise SettingsError(f"the file {ENV_FILE} cannot be read ({type(error).__name__})") from None
    return {name: value for name, value in lines.items() if value is not None and name not in environment}


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the environment, and of `.env` beside the service where the environment has none.

    Ends the process with a sentence on a bad one.
    """
    environment = os.environ if environment is None else environment
    try:
        return Settings.load({**environment, **env_file_values(environment)})
    except SettingsError as error:
        sys.exit(f"The service cannot start: {error}.")


def for_master() -> str:
    """Return what gunicorn's master needs to know, as JSON. Ends the process with a sentence on a bad setting."""
    settings = from_environment()
    needed = {name: getattr(settings, name) for name in _OF_MASTER}
    env_file = env_file_values(os.environ)
    return json.dumps({**needed, "env_file": env_file, "gone": gone({**os.environ, **env_file})})


def gone(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each setting that is still set and no longer does anything."""
    return [f"{name} no longer does anything: {why}" for name, why in GONE.items() if name in environment]
