"""How the clients prove to Kafka who the service is, and how they follow when the files with its secrets change.

A client reads the files when it is opened. Once they have another content, the watch opens a client with the new
content; only when Kafka takes it do the others follow, each at a place of its work where nothing is lost. So a file
that is half written, or wrong, changes nothing while Kafka still takes the old content.
"""

import logging
from collections.abc import Callable
from typing import Any

from kafka.errors import KafkaError
from kafka.net.sasl.oauth import AbstractTokenProvider

from app.config import kafka_security
from app.config.config import Settings
from app.utils.secret_files import SecretUnusable, WatchedFiles

log = logging.getLogger(__name__)


class ClientRefused(KafkaError):
    """Kafka and the client do not take each other, or a file cannot be used. The sentence names the setting."""

    def __str__(self) -> str:
        return str(self.args[0])


def name_of(error: KafkaError) -> str:
    """Return what an operator is told of an error: its name, or why Kafka and the client do not take each other."""
    return str(error) if isinstance(error, ClientRefused) else type(error).__name__


class _Hidden(str):
    """A text that no log shows: kafka-python's admin client logs its options at debug."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class _FileToken(AbstractTokenProvider):
    """The token as it is in its file at each login, also at those that a broker asks for on an open connection."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def token(self) -> str:
        """Return the token. Raises ClientRefused."""
        return _of_file(self._settings)


def options(settings: Settings) -> dict[str, Any]:
    """Return kafka-python's options. Reads the files; raises ClientRefused where one cannot be used."""
    chosen: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    if kafka_security.has_tls(settings):
        try:
            chosen["ssl_context"] = kafka_security.tls_context(settings)
        except SecretUnusable as error:
            raise ClientRefused(str(error)) from None
    if not kafka_security.has_login(settings):
        return chosen
    chosen["sasl_mechanism"] = settings.kafka_sasl_mechanism
    secret = _of_file(settings)
    if settings.kafka_sasl_mechanism == kafka_security.OAUTH:
        return chosen | {"sasl_oauth_token_provider": _FileToken(settings)}
    return chosen | {"sasl_plain_username": _user(settings), "sasl_plain_password": _Hidden(secret)}


def _user(settings: Settings) -> str:
    """Return the name as the mechanism writes it: kafka-python does not escape what SCRAM (RFC 5802) reserves."""
    user = settings.kafka_sasl_username
    return user if settings.kafka_sasl_mechanism == "PLAIN" else user.replace("=", "=3D").replace(",", "=2C")


def _of_file(settings: Settings) -> str:
    try:
        return kafka_security.password(settings)
    except SecretUnusable as error:
        raise ClientRefused(str(error)) from None


class SecretsInUse:
    """Which content of the files this process's clients use. `generation` grows with each new content.

    One thread calls `follow`; any may read `generation`.
    """

    def __init__(self, settings: Settings) -> None:
        self._paths = kafka_security.watched_files(settings)
        self._files = WatchedFiles(self._paths)
        self.generation = 0

    def follow(self, prove: Callable[[], None]) -> str | None:
        """Return why a changed content is not used, None if nothing changed or the new content is in use from now on.

        `prove` opens a client with it, and raises KafkaError. Blocks as long.
        """
        if not self._files.changed():
            return None
        files = WatchedFiles(self._paths)
        try:
            prove()
        except KafkaError as error:
            return str(error)
        self._files = files
        self.generation += 1
        log.info("Kafka takes the changed files with secrets: clients are opened anew")
        return None
