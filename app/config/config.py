"""The settings of one process, read from the environment and from `.env`.

gunicorn's master has them read at start, and again on SIGHUP (app/server/master.py).
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from app.config import kafka_security, production
from app.config.groups import (
    HttpSettings,
    KafkaSecuritySettings,
    KafkaSettings,
    PostgresSettings,
    ProcessSettings,
    RetentionSettings,
)
from app.config.security_groups import (
    REQUIRED_FOR_TOKENS,
    AccessSettings,
    ConsoleSettings,
    JwtSettings,
    require_console_secret,
    require_key_file,
)
from app.database.url import has_password, with_password_file
from app.utils.secret_files import SecretUnusable, read_for

ENV_FILE = Path(__file__).resolve().parents[2] / ".env"
"""The only `.env` that is read: those of the folders above belong to other programs."""
GONE = {
    "WEB_THREADS": "requests no longer have threads",
    "CPU_AFFINITY": "a worker is one thread for HTTP",
}
"""Settings that do nothing any more, and why."""

HAS_READ_ENV_FILE = "ORDER_SERVICE_HAS_READ_ENV_FILE"
"""gunicorn's master sets it for its workers: a worker that starts later must not read a file that was edited since."""

_OF_MASTER = ("host", "port", "web_concurrency", "keep_alive_seconds", "graceful_timeout", "log_level", "log_format")


class SettingsError(Exception):
    """A setting cannot be used; the sentence names the variable."""


@dataclass(frozen=True, kw_only=True)
class Settings(
    RetentionSettings,
    ProcessSettings,
    ConsoleSettings,
    JwtSettings,
    AccessSettings,
    HttpSettings,
    KafkaSecuritySettings,
    KafkaSettings,
    PostgresSettings,
):
    """The whole configuration of one process. `fields()` has the groups in their order in groups.py."""

    def __post_init__(self) -> None:
        """Refuse what is wrong together.

        Where topics share a name, a dead letter would be read as a command again, and go round for ever.
        """
        if len({self.commands_topic, self.events_topic, self.dead_letter_topic}) < 3:
            topics = "KAFKA_COMMANDS_TOPIC, KAFKA_EVENTS_TOPIC and KAFKA_DEAD_LETTER_TOPIC"
            raise SettingsError(f"{topics} must have three different names")
        if (nonsense := kafka_security.nonsense(self)) is not None:
            raise SettingsError(nonsense)
        for setting in fields(self):
            if (
                not self.asks_who_calls
                and setting.name.endswith("_access")
                and getattr(self, setting.name) == "operator"
            ):
                variable = setting.metadata["variable"]
                raise SettingsError(f"{variable} must not be operator while AUTH_MODE is off: nobody could be one")
            if self.takes_tokens and setting.name in REQUIRED_FOR_TOKENS and not getattr(self, setting.name):
                variable = setting.metadata["variable"]
                raise SettingsError(f"{variable} must be set while AUTH_MODE is {self.auth_mode}")

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> "Settings":
        """Return the settings in `environment`. Raises SettingsError with a sentence that names the variable."""
        values = {setting.name: _parsed(setting.metadata, environment) for setting in fields(cls)}
        if path := values["database_password_file"]:
            values |= _addresses_with(path, values)
        return cls(**values)

    @property
    def worker_url(self) -> str:
        """The URL of the database for everything but HTTP."""
        return self.worker_database_url or self.database_url

    @property
    def asks_who_calls(self) -> bool:
        """Whether callers need a credential."""
        return self.auth_mode != "off"

    @property
    def takes_tokens(self) -> bool:
        """Whether a JWT is a credential."""
        return self.auth_mode in ("jwt", "both")

    @property
    def takes_api_keys(self) -> bool:
        """Whether an API key is a credential."""
        return self.auth_mode in ("api_key", "both")

    def is_open(self, access: str) -> bool:
        """Tell whether all callers may see what METRICS_ACCESS, READYZ_ACCESS or DOCUMENTS_ACCESS is about."""
        return access == "open" or (access == "" and not self.asks_who_calls)

    @property
    def consumes(self) -> bool:
        """Whether this process runs the Kafka threads."""
        return self.roles in ("all", "worker")

    @property
    def serves_orders(self) -> bool:
        """Whether this process answers the order endpoints."""
        return self.roles in ("all", "api")

    @property
    def console_mode(self) -> str:
        """`off`, `ro` or `rw`: what this process serves at /console."""
        if not self.serves_orders:
            return "off"
        return self.console or ("ro" if self.app_env == "development" else "off")

    def __repr__(self) -> str:
        """Show the settings without secrets, for the log."""
        shown = (f"{setting.name}={self._shown(setting)!r}" for setting in fields(self))
        return f"Settings({', '.join(shown)})"

    def _shown(self, setting: Field[Any]) -> Any:
        value, redact = getattr(self, setting.name), setting.metadata["redact"]
        return redact(value) if redact else value


def _addresses_with(password_file: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Return the addresses of PostgreSQL with the file of their password. Raises SettingsError."""
    names = {"database_url": "DATABASE_URL", "worker_database_url": "WORKER_DATABASE_URL"}
    given = {name: values[name] for name in names if values[name]}
    for name, url in given.items():
        if has_password(url):
            raise SettingsError(f"{names[name]} must hold no password while DATABASE_PASSWORD_FILE is set")
    return {name: with_password_file(url, password_file) for name, url in given.items()}


def _parsed(metadata: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    variable = metadata["variable"]
    value = environment.get(variable, metadata["default"])
    try:
        return metadata["parse"](value)
    except ValueError as error:
        shown = "" if metadata["redact"] else f" (it is {value[:100]!r})"
        raise SettingsError(f"{variable} {error}{shown}") from None


def env_file_values(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the lines of `.env` that `environment` does not have itself. Raises SettingsError."""
    if HAS_READ_ENV_FILE in environment or not ENV_FILE.is_file():
        return {}
    try:
        lines = dotenv_values(ENV_FILE)
    except (OSError, ValueError) as error:
        raise SettingsError(f"the file {ENV_FILE} cannot be read ({type(error).__name__})") from None
    return {name: value for name, value in lines.items() if value is not None and name not in environment}


def from_environment(environment: Mapping[str, str] | None = None, *, answers_callers: bool = True) -> Settings:
    """Return the settings of the environment, and of `.env` for those that the environment lacks.

    Ends the process with a sentence on a bad setting, on one that is not safe in production, and on a file with a
    secret that cannot be used. gunicorn's start has looked at the files: a worker may start while one of them changes,
    and then waits for the right one. `answers_callers`: false for a command of an operator.
    """
    environment = os.environ if environment is None else environment
    try:
        settings = Settings.load({**environment, **env_file_values(environment)})
        if HAS_READ_ENV_FILE not in environment:
            if settings.database_password_file:
                read_for("DATABASE_PASSWORD_FILE", settings.database_password_file)
            kafka_security.require_files(settings)
            require_key_file(settings.api_keys_file)
            require_console_secret(settings.console_secret_file)
        unsafe = production.insecurities(settings, answers_callers=answers_callers)
        if unsafe and not settings.allow_insecure:
            raise SettingsError("; ".join(unsafe))
        return settings
    except (SettingsError, SecretUnusable) as error:
        sys.exit(f"The service cannot start: {error}.")


def for_master() -> str:
    """Return the settings of gunicorn's master as JSON. Ends the process with a sentence on a bad setting."""
    settings = from_environment()
    needed = {name: getattr(settings, name) for name in _OF_MASTER}
    env_file = env_file_values(os.environ)
    warnings = gone({**os.environ, **env_file})
    warnings += [f"ALLOW_INSECURE=1 overrides: {sentence}" for sentence in production.insecurities(settings)]
    return json.dumps({**needed, "env_file": env_file, "warnings": warnings})


def gone(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that is set and no longer does anything."""
    return [f"{name} no longer does anything: {why}" for name, why in GONE.items() if name in environment]
