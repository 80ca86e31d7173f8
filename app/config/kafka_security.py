"""What Kafka's security settings mean together, and the secrets in their files."""

import ssl
from pathlib import Path

from app.config.groups import KafkaSecuritySettings
from app.utils.secret_files import SecretUnusable, read_for, read_text

OAUTH = "OAUTHBEARER"
_SASL = {
    "KAFKA_SASL_MECHANISM": "kafka_sasl_mechanism",
    "KAFKA_SASL_USERNAME": "kafka_sasl_username",
    "KAFKA_SASL_PASSWORD_FILE": "kafka_sasl_password_file",
    "KAFKA_SASL_TOKEN_FILE": "kafka_sasl_token_file",
}
_TLS = {
    "KAFKA_SSL_CA_FILE": "kafka_ssl_ca_file",
    "KAFKA_SSL_CERTIFICATE_FILE": "kafka_ssl_certificate_file",
    "KAFKA_SSL_KEY_FILE": "kafka_ssl_key_file",
    "KAFKA_SSL_KEY_PASSWORD_FILE": "kafka_ssl_key_password_file",
}


def has_tls(settings: KafkaSecuritySettings) -> bool:
    """Tell whether connections are encrypted."""
    return settings.kafka_security_protocol.endswith("SSL")


def has_login(settings: KafkaSecuritySettings) -> bool:
    """Tell whether the service logs in by SASL."""
    return settings.kafka_security_protocol.startswith("SASL_")


def nonsense(settings: KafkaSecuritySettings) -> str | None:
    """Return a sentence about settings that mean nothing together, None where all is well. Reads no file."""
    given = {name for name, field in (_SASL | _TLS).items() if getattr(settings, field)}
    protocol = settings.kafka_security_protocol
    for names, is_used, use in (
        (_SASL, has_login(settings), "SASL_SSL or SASL_PLAINTEXT"),
        (_TLS, has_tls(settings), "SSL or SASL_SSL"),
    ):
        if not is_used and (idle := sorted(given & names.keys())):
            return f"{idle[0]} needs KAFKA_SECURITY_PROTOCOL={use} (it is {protocol})"
    if has_login(settings):
        if not settings.kafka_sasl_mechanism:
            return f"KAFKA_SASL_MECHANISM must be set with KAFKA_SECURITY_PROTOCOL={protocol}"
        by_token = settings.kafka_sasl_mechanism == OAUTH
        wanted = {"KAFKA_SASL_TOKEN_FILE"} if by_token else {"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD_FILE"}
        mechanism = f"KAFKA_SASL_MECHANISM={settings.kafka_sasl_mechanism}"
        if missing := sorted(wanted - given):
            return f"{missing[0]} must be set with {mechanism}"
        if idle := sorted((given & _SASL.keys()) - wanted - {"KAFKA_SASL_MECHANISM"}):
            return f"{idle[0]} must be empty with {mechanism}"
    return _half_given(given)


def _half_given(given: set[str]) -> str | None:
    for name, other in (
        ("KAFKA_SSL_KEY_FILE", "KAFKA_SSL_CERTIFICATE_FILE"),
        ("KAFKA_SSL_CERTIFICATE_FILE", "KAFKA_SSL_KEY_FILE"),
        ("KAFKA_SSL_KEY_FILE", "KAFKA_SSL_KEY_PASSWORD_FILE"),
    ):
        if other in given and name not in given:
            return f"{name} must be set with {other}"
    return None


def watched_files(settings: KafkaSecuritySettings) -> list[str]:
    """Return the files that a client reads once, when it is opened. The token is not one: each login reads it."""
    fields = [_SASL["KAFKA_SASL_PASSWORD_FILE"], *_TLS.values()]
    return [path for field in fields if (path := getattr(settings, field))]


def require_files(settings: KafkaSecuritySettings) -> None:
    """Raise SecretUnusable, with a sentence that names the variable, unless every file can be used. Reads them."""
    if has_tls(settings):
        tls_context(settings)
    if has_login(settings):
        password(settings)


def password(settings: KafkaSecuritySettings) -> str:
    """Return the password, or the token. Reads its file; raises SecretUnusable, whose sentence names the variable."""
    if settings.kafka_sasl_mechanism == OAUTH:
        return read_for("KAFKA_SASL_TOKEN_FILE", settings.kafka_sasl_token_file)
    return read_for("KAFKA_SASL_PASSWORD_FILE", settings.kafka_sasl_password_file)


def tls_context(settings: KafkaSecuritySettings) -> ssl.SSLContext:
    """Return how connections are encrypted: TLS 1.2 or newer, certificate and host name checked. Reads the files.

    Raises SecretUnusable, whose sentence names the variable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.kafka_ssl_ca_file:
        _trust(context, settings.kafka_ssl_ca_file)
    else:
        context.load_default_certs()
    if settings.kafka_ssl_certificate_file:
        _load_own(context, settings)
    return context


def _trust(context: ssl.SSLContext, path: str) -> None:
    read_for("KAFKA_SSL_CA_FILE", path, _opened)
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise SecretUnusable(
            f"KAFKA_SSL_CA_FILE names a file without PEM certificates: {path} ({_why(error)})"
        ) from None


def _load_own(context: ssl.SSLContext, settings: KafkaSecuritySettings) -> None:
    certificate, key = settings.kafka_ssl_certificate_file, settings.kafka_ssl_key_file
    for name, path in (("KAFKA_SSL_CERTIFICATE_FILE", certificate), ("KAFKA_SSL_KEY_FILE", key)):
        read_for(name, path, read_text)

    def key_password() -> str:
        """Without this function OpenSSL would ask at the terminal."""
        if not settings.kafka_ssl_key_password_file:
            raise SecretUnusable(f"KAFKA_SSL_KEY_PASSWORD_FILE must be set: the key in {key} has a password")
        return read_for("KAFKA_SSL_KEY_PASSWORD_FILE", settings.kafka_ssl_key_password_file)

    try:
        context.load_cert_chain(certificate, key, key_password)
    except OSError as error:  # ssl.SSLError is one
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            raise SecretUnusable(f"KAFKA_SSL_KEY_FILE has another key than KAFKA_SSL_CERTIFICATE_FILE: {key}") from None
        names = "KAFKA_SSL_CERTIFICATE_FILE, KAFKA_SSL_KEY_FILE or KAFKA_SSL_KEY_PASSWORD_FILE"
        raise SecretUnusable(f"{names} cannot be used: {certificate}, {key} ({_why(error)})") from None


def _opened(path: str) -> str:
    """Return the path of a file that can be read. A file of CAs may be larger than a secret."""
    try:
        with Path(path).open("rb"):
            return path
    except OSError as error:
        raise SecretUnusable(f"names a file that cannot be read: {path} ({error.strerror})") from None


def _why(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or type(error).__name__
