"""The settings of who may call. Each group stands in docs/settings.md, as those of groups.py do."""

from dataclasses import dataclass

from app.config import parsers
from app.config.groups import setting
from app.config.parsers import choice, number
from app.utils.secret_files import SecretUnusable, read_for, read_text
from app.wire.key_file import parse

SHORTEST_CONSOLE_SECRET = 32

_OPEN_OR_OPERATOR = ("open", "operator")


def _access(value: str) -> str:
    """Return who may see; empty: as AUTH_MODE has it."""
    return choice(*_OPEN_OR_OPERATOR)(value) if value else ""


def require_key_file(path: str) -> None:
    """Raise SecretUnusable with a sentence if the file of API keys cannot be used. Keeps nothing of its content."""
    text = read_for("API_KEYS_FILE", path, read_text) if path else ""
    try:
        parse(text)
    except ValueError as error:
        raise SecretUnusable(f"API_KEYS_FILE names a file whose {error}") from None


def require_console_secret(path: str) -> None:
    """Raise SecretUnusable with a sentence if the secret of the console cannot be used. Keeps nothing of it."""
    if path and len(read_for("CONSOLE_SECRET_FILE", path)) < SHORTEST_CONSOLE_SECRET:
        raise SecretUnusable(
            f"CONSOLE_SECRET_FILE names a file whose secret has less than {SHORTEST_CONSOLE_SECRET} characters"
        )


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """Who may call."""

    auth_mode: str = setting(
        "AUTH_MODE",
        "off",
        choice("off", "api_key", "jwt", "both"),
        "credentials that callers need: `off`: none, and those that come are ignored; `api_key`; `jwt`; `both`: either",
    )
    api_keys_file: str = setting(
        "API_KEYS_FILE",
        "",
        parsers.printable,
        "file of API keys beside those of the database, a line per key "
        "([operations](operations.md#api-keys)); read again when it changes",
        redact=str,  # a path may be shown; a refused value may be a key itself
    )
    metrics_access: str = setting(
        "METRICS_ACCESS",
        "",
        _access,
        "who may see `/metrics`: `open`: all; `operator`: callers with the scope `operator`; empty: `operator` where "
        "AUTH_MODE is not `off`",
    )
    readyz_access: str = setting(
        "READYZ_ACCESS",
        "",
        _access,
        "as METRICS_ACCESS, for the parts that `/readyz` shows; its status is for all",
    )
    documents_access: str = setting(
        "DOCUMENTS_ACCESS",
        "open",
        choice(*_OPEN_OR_OPERATOR),
        "as METRICS_ACCESS, for the API documents and their pages",
    )


@dataclass(frozen=True, kw_only=True)
class ConsoleSettings:
    """The console."""

    console: str = setting(
        "CONSOLE",
        "",
        choice("", "off", "ro", "rw"),
        "pages for operators at `/console` ([console](console.md)): `ro`: to look at; `rw`: to act, too; `off`; empty: "
        "`ro` with APP_ENV=development, `off` in production. A process with ROLES=worker has none",
    )
    console_secret_file: str = setting(
        "CONSOLE_SECRET_FILE",
        "",
        parsers.printable,
        "file with the secret that signs the cookies of the console, one line of at least 32 characters, the same for "
        "all instances; empty: a secret in the database that changes twice a day",
        redact=str,  # a path may be shown; a refused value may be the secret itself
    )


REQUIRED_FOR_TOKENS = ("jwt_jwks_url", "jwt_issuer", "jwt_audience")


@dataclass(frozen=True, kw_only=True)
class JwtSettings:
    """JSON Web Tokens."""

    jwt_jwks_url: str = setting(
        "JWT_JWKS_URL",
        "",
        parsers.jwks_url,
        "where the identity provider has its public keys (JWKS); `http` only on this machine. To be set, with "
        "JWT_ISSUER and JWT_AUDIENCE, where AUTH_MODE is `jwt` or `both`",
        redact=parsers.without_query,
    )
    jwt_jwks_ca_file: str = setting(
        "JWT_JWKS_CA_FILE",
        "",
        parsers.certificates,
        "file with the CA certificates for JWT_JWKS_URL, read at each look; empty: those of the system",
    )
    jwt_issuer: str = setting("JWT_ISSUER", "", parsers.printable, "the `iss` that a token must have, to the letter")
    jwt_audience: tuple[str, ...] = setting(
        "JWT_AUDIENCE", "", parsers.printable_list, "a comma list: the `aud` of a token must name one of them"
    )
    jwt_algorithms: tuple[str, ...] = setting(
        "JWT_ALGORITHMS",
        "RS256,ES256,EdDSA",
        parsers.names_of("RS256", "ES256", "EdDSA"),
        "algorithms of the signature that are accepted; `EdDSA` is Ed25519 alone",
    )
    jwt_leeway_seconds: int = setting(
        "JWT_LEEWAY_SECONDS", "30", number(0, 60), "how far the clocks of provider and service may be apart"
    )
    jwt_scopes_claim: str = setting(
        "JWT_SCOPES_CLAIM",
        "scope",
        parsers.claim,
        "claim with the scopes, as text with spaces between them or as a list, such as `scp`, `permissions` or a path "
        "like `realm_access.roles`; names that are no scope of the service are ignored",
    )
    jwt_name_claim: str = setting(
        "JWT_NAME_CLAIM", "sub", parsers.claim, "claim with the name of the caller, for the history and the log"
    )
