"""Settings: what each variable takes, and the sentence with its name for what it does not take."""

import re
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from app.config.config import HAS_READ_ENV_FILE, Settings, SettingsError, from_environment, gone
from app.config.groups import setting
from app.config.parsers import choice
from app.database.url import libpq_url, password_file_of, without_secrets
from tools import settings_page

TEXTS = (
    "DATABASE_PASSWORD_FILE",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SASL_PASSWORD_FILE",
    "KAFKA_SASL_TOKEN_FILE",
    "KAFKA_SSL_CA_FILE",
    "KAFKA_SSL_CERTIFICATE_FILE",
    "KAFKA_SSL_KEY_FILE",
    "KAFKA_SSL_KEY_PASSWORD_FILE",
)
BAD = [
    ("WORKER_DATABASE_URL", ["nonsense", "postgresql://h"]),
    (
        "DATABASE_URL",
        [
            "",
            "nonsense",
            "mysql://u:p@h/db",
            "sqlite://",
            "postgresql://h",
            "postgresql://h:abc/db",
            "postgresql://h:99999/db",
            "postgresql://h/db\n",
            " postgresql://h/db",
            "postgresql://h/db?nonsense=1",
            "postgresql://h/db?sslmode=nonsense",
            "postgresql://h/db?target_session_attrs=leader",
            "postgresql://h/db?sslmode",
            "postgresql://a:1,b:2,c/db?port=1,2",
        ],
    ),
    (
        "KAFKA_BOOTSTRAP_SERVERS",
        [
            *("", ",", "kafka", "kafka:", "kafka:9092,other", "kafka:123456", ":9092", "kafka:99999", "kafka:0"),
            *(
                "SASL_SSL://kafka:9092",
                "PLAINTEXT://kafka:9092",
                "::1:9092",
                "[::1]",
                "[kafka]:9092",
                "[::1:9092",
                "a b:9",
            ),
        ],
    ),
    ("HOST", ["", ",", "orders.example", "300.0.0.1", "127.0.0.1:3000", "*:3000"]),
    ("PORT", ["", "0", "65536", "-1", "3000.0", "x", "3000 ", "３０００", "9" * 5000]),
    ("ROLES", ["", "both", "all,api"]),
    ("SCHEMA", ["", "drop"]),
    ("KAFKA_COMMANDS_TOPIC", ["", ".", "..", "a b", "x" * 250, "ä", "a/b"]),
    ("KAFKA_EVENTS_TOPIC", ["", "..", "__consumer_offsets"]),
    ("KAFKA_DEAD_LETTER_TOPIC", ["", "a\n"]),
    ("KAFKA_GROUP_ID", ["", " ", "g ", "a\nb", "a\x00", "\udcff", "x" * 256]),
    ("KAFKA_SESSION_TIMEOUT_MS", ["", "999", "300001", "10s"]),
    ("KAFKA_SECURITY_PROTOCOL", ["", "TLS", "SASL", "SSL,PLAINTEXT"]),
    ("KAFKA_SASL_MECHANISM", ["GSSAPI", "SCRAM", "DIGEST-MD5"]),
    *((name, [" ", "a\n", " a", "\x00"]) for name in TEXTS),
    ("KAFKA_TOPIC_PARTITIONS", ["", "0", "1001"]),
    ("KAFKA_TOPIC_REPLICATION", ["", "-1", "101"]),
    ("CONSUMER_BATCH", ["", "0", "10001"]),
    ("RELAY_BATCH", ["", "0", "10001"]),
    ("RELAY_POLL_MS", ["", "4", "2001"]),
    ("RELAY_SETTLE_MS", ["", "-1", "10001"]),
    ("KEEP_ALIVE_SECONDS", ["", "0", "86401"]),
    ("WEB_CONCURRENCY", ["", "0", "two"]),
    ("DATABASE_POOL", ["", "0", "201"]),
    ("GRACEFUL_TIMEOUT", ["", "0", "301"]),
    ("REFUSED_ACCEPT_SECONDS", ["", "-1", "3601"]),
    ("IDEMPOTENCY_KEY_HOURS", ["", "23", "8761"]),
    ("HTTP_REFUSAL_HOURS", ["", "0", "8761"]),
    ("COMMAND_IDENTITY_DAYS", ["", "0", "3651"]),
    ("DEAD_LETTER_DAYS", ["", "0", "3651"]),
    ("JOB_DAYS", ["", "0", "3651"]),
    ("CHECK_AT", ["3:30", "24:00", "03:60", "03:30:00", "noon", " "]),
    (
        "CORS_ORIGINS",
        [
            *(
                " ",
                ",",
                "*",
                "null",
                "localhost:5173",
                "//a",
                "http://",
                "http:///",
                "http://a/orders",
                "http://a?x",
                "a b",
            ),
            *(
                "http://a#",
                "http://u@a",
                "http://a:99999",
                "http://a:0",
                "http://*.a",
                "http://bücher.de",
                "http://a//",
            ),
        ],
    ),
    ("AUTH_MODE", ["", "none", "api_key,jwt"]),
    ("API_KEYS_FILE", ["a\x00b"]),
    ("CONSOLE", ["on", "read", "ro,rw"]),
    ("CONSOLE_SECRET_FILE", ["a\n", " a"]),
    ("METRICS_ACCESS", ["closed"]),
    ("READYZ_ACCESS", ["closed"]),
    ("DOCUMENTS_ACCESS", ["", "closed"]),
    (
        "JWT_JWKS_URL",
        [
            *(
                "jwks",
                "http://provider.example/jwks",
                "ftp://127.0.0.1/jwks",
                "file:///etc/passwd",
                "https://",
                "https:///a",
            ),
            *(
                "https://u:p@a/jwks",
                "https://a/jwks#x",
                "https://a b/",
                "https://a\n",
                "https://a:99999/",
                "https://[::1/",
            ),
            *("http://127.0.0.1.example/", "http://localhost.example/", "http://10.0.0.1/", "//a/jwks", "https://a:0/"),
        ],
    ),
    ("JWT_JWKS_CA_FILE", ["/nowhere/ca.pem", "/dev/null", "/", "a\0b"]),
    ("JWT_ISSUER", [" ", "a\n", "x" * 1001]),
    ("JWT_AUDIENCE", ["a\n", " a"]),
    ("JWT_ALGORITHMS", ["", ",", "HS256", "none", "RS256,HS256", "rs256", "RS256 ES256"]),
    ("JWT_LEEWAY_SECONDS", ["", "-1", "61", "0.5"]),
    ("JWT_SCOPES_CLAIM", ["", "a b", "ä", "x" * 256]),
    ("JWT_NAME_CLAIM", ["", "a\n"]),
    ("APP_ENV", ["", "prod"]),
    ("ALLOW_INSECURE", ["", "2", "yes"]),
    ("DRILLS", ["", "2", "on"]),
    ("LOG_LEVEL", ["", "verbose", "10"]),
    ("LOG_FORMAT", ["", "xml"]),
    ("TRACING", ["", "on", "stdout"]),
    ("FORWARDED_ALLOW_IPS", ["nginx", "10.0.0.1/8", "10.0.0.1 10.0.0.2", "300.0.0.1"]),
]
GOOD = [
    ("KAFKA_BOOTSTRAP_SERVERS", " a:1, b:65535 ,,", "bootstrap_servers", ("a:1", "b:65535")),
    ("KAFKA_BOOTSTRAP_SERVERS", "[::1]:9092,a_b.c-d:1", "bootstrap_servers", ("[::1]:9092", "a_b.c-d:1")),
    ("HOST", "*", "host", ("*",)),
    ("HOST", "127.0.0.1, [::1]", "host", ("127.0.0.1", "::1")),
    ("HOST", "localhost", "host", ("localhost",)),
    ("PORT", "1", "port", 1),
    ("PORT", "65535", "port", 65535),
    ("ROLES", "API", "roles", "api"),
    ("SCHEMA", "check", "schema", "check"),
    ("KAFKA_COMMANDS_TOPIC", "x" * 249, "commands_topic", "x" * 249),
    ("KAFKA_GROUP_ID", "my group", "group_id", "my group"),
    ("KAFKA_SESSION_TIMEOUT_MS", "1000", "session_timeout_ms", 1000),
    ("RELAY_SETTLE_MS", "0", "relay_settle_ms", 0),
    ("REFUSED_ACCEPT_SECONDS", "3600", "refused_accept_seconds", 3600),
    ("IDEMPOTENCY_KEY_HOURS", "24", "idempotency_key_hours", 24),
    ("DEAD_LETTER_DAYS", "3650", "dead_letter_days", 3650),
    ("JOB_DAYS", "1", "job_days", 1),
    ("CHECK_AT", "23:59", "check_at", "23:59"),
    ("CHECK_AT", "", "check_at", ""),
    ("COMMAND_IDENTITY_DAYS", "3650", "command_identity_days", 3650),
    ("CORS_ORIGINS", "http://a/, http://b", "cors_origins", ("http://a", "http://b")),
    ("CORS_ORIGINS", "HTTP://A.Example:80,https://b:443/", "cors_origins", ("http://a.example", "https://b")),
    ("CORS_ORIGINS", "http://[::1]:5173,https://a:80", "cors_origins", ("http://[::1]:5173", "https://a:80")),
    ("CORS_ORIGINS", "capacitor://localhost", "cors_origins", ("capacitor://localhost",)),
    ("CORS_ORIGINS", "", "cors_origins", ()),
    ("JWT_JWKS_URL", "https://a.example:8443/x?key=y", "jwt_jwks_url", "https://a.example:8443/x?key=y"),
    ("JWT_JWKS_URL", "http://[::1]:8080/jwks", "jwt_jwks_url", "http://[::1]:8080/jwks"),
    ("JWT_AUDIENCE", "orders, shop ,", "jwt_audience", ("orders", "shop")),
    ("JWT_ALGORITHMS", "EdDSA", "jwt_algorithms", ("EdDSA",)),
    ("LOG_LEVEL", "Debug", "log_level", "debug"),
    ("LOG_FORMAT", "JSON", "log_format", "json"),
]


def refusal(variable: str, value: str) -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.load({variable: value})
    assert refused.value.__suppress_context__  # a traceback would show the value too
    return str(refused.value)


@pytest.mark.parametrize(("variable", "value"), [(name, value) for name, values in BAD for value in values])
def test_a_bad_value_gives_a_sentence_that_names_the_variable(variable: str, value: str) -> None:
    sentence = refusal(variable, value)
    assert sentence.startswith(f"{variable} must ")
    assert len(sentence) < 300


@pytest.mark.parametrize(("variable", "value", "field", "expected"), GOOD)
def test_a_good_value_is_taken(variable: str, value: str, field: str, expected: object) -> None:
    assert getattr(Settings.load({variable: value}), field) == expected


def test_the_defaults_are_those_of_the_contract() -> None:
    """[K1] [R8]"""
    settings = Settings.load({})
    topics = settings.commands_topic, settings.events_topic, settings.dead_letter_topic
    assert topics == ("order_commands", "order_events", "order_commands.dlq")
    assert (settings.group_id, settings.bootstrap_servers) == ("order-service-group", ("localhost:9092",))
    assert (settings.port, settings.refused_accept_seconds) == (3000, 15)
    assert settings.cors_origins == ("http://localhost:5173",)
    assert settings.database_url == "postgresql+psycopg2://postgres:postgres@localhost:5432/order_db"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
def test_every_way_to_write_postgresql_means_psycopg2(scheme: str) -> None:
    url = Settings.load({"DATABASE_URL": f"{scheme}://u:p%40s@h:5433/db?sslmode=require"}).database_url
    assert url == "postgresql+psycopg2://u:p%40s@h:5433/db?sslmode=require"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hidden@h/db",
        "postgresql://h/db?user=user&password=hidden",
        "postgresql://user@h/db?sslmode=require&sslpassword=hidden",
    ],
)
def test_the_password_is_not_shown_with_the_settings(url: str) -> None:
    settings = Settings.load({"DATABASE_URL": url})
    assert "hidden" in settings.database_url
    assert "hidden" not in f"{settings!r} {settings}"
    assert "h/db" in repr(settings)


@pytest.mark.parametrize(
    "url", ["mysql://user:hidden@h/db", "postgresql://user:hidden@h", "postgres://u:p@hid:hidden@h/db", "hidden"]
)
def test_the_password_is_not_in_the_sentence_about_a_bad_url(url: str) -> None:
    sentence = refusal("DATABASE_URL", url)
    assert "hidden" not in sentence
    assert sentence.startswith("DATABASE_URL must ")


@pytest.mark.parametrize("variable", ["DATABASE_URL", "WORKER_DATABASE_URL"])
@pytest.mark.parametrize("url", ["postgresql://u:hidden@h/db", "postgresql://u@h/db?passfile=/hidden"])
def test_a_password_stands_in_the_address_or_in_the_file(variable: str, url: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    given = {"DATABASE_URL": "postgresql://u@h/db", "DATABASE_PASSWORD_FILE": str(tmp_path / "password")}
    with pytest.raises(SettingsError) as refused:
        Settings.load(given | {variable: url})
    assert str(refused.value) == f"{variable} must hold no password while DATABASE_PASSWORD_FILE is set"


@pytest.mark.parametrize("query", ["", "?sslmode=require"])
def test_both_addresses_say_where_their_password_is_and_libpq_does_not_see_it(query: str, tmp_path: Path) -> None:
    file = tmp_path / "a & b=c?"
    file.write_text("hidden\n")
    address = f"postgresql://u@h/db{query}"
    environment = {"DATABASE_URL": address, "WORKER_DATABASE_URL": address, "DATABASE_PASSWORD_FILE": str(file)}
    settings = Settings.load(environment)
    for url in (settings.database_url, settings.worker_url):
        assert (password_file_of(url), libpq_url(url)) == (str(file), address)
        assert without_secrets(url) == "postgresql+psycopg2://u@h/db"
    assert "hidden" not in repr(settings)


PASSWORD_IN_A_FILE = {"DATABASE_URL": "postgresql://u@h/db", "DATABASE_PASSWORD_FILE": "/away"}


@pytest.mark.parametrize("path", ["/nonexistent/password", "/", "/dev/null", "/dev/zero"])
def test_the_start_needs_a_file_with_a_password(path: str) -> None:
    with pytest.raises(SystemExit, match=r"^The service cannot start: DATABASE_PASSWORD_FILE names "):
        from_environment(PASSWORD_IN_A_FILE | {"DATABASE_PASSWORD_FILE": path})


def test_a_refused_file_is_not_shown_for_it_may_be_the_password_itself() -> None:
    with pytest.raises(SystemExit) as refused:
        from_environment(PASSWORD_IN_A_FILE | {"DATABASE_PASSWORD_FILE": "hidden"})
    sentence = "DATABASE_PASSWORD_FILE names a file that cannot be read (No such file or directory)"
    assert refused.value.code == f"The service cannot start: {sentence}."


def test_a_worker_starts_while_the_file_of_the_password_is_away() -> None:
    """The master has looked at the file. A worker that ended would start, and end, again and again."""
    settings = from_environment(PASSWORD_IN_A_FILE | {HAS_READ_ENV_FILE: "1"})
    assert password_file_of(settings.database_url) == "/away"


@dataclass(frozen=True, kw_only=True, repr=False)
class SettingsWithPassword(Settings):
    password: str = setting("SASL_PASSWORD", "", choice("hidden"), "a password", redact=lambda _: "***")


def test_a_setting_that_is_declared_secret_is_shown_nowhere() -> None:
    assert "password='***'" in repr(SettingsWithPassword.load({"SASL_PASSWORD": "hidden"}))
    with pytest.raises(SettingsError) as refused:
        SettingsWithPassword.load({"SASL_PASSWORD": "secret"})
    assert str(refused.value) == "SASL_PASSWORD must be one of hidden"


def test_a_setting_whose_name_speaks_of_a_secret_is_declared_secret() -> None:
    secret = {one.metadata["variable"] for one in fields(Settings) if one.metadata["redact"]}
    named = re.compile("URL|PASSWORD|SECRET|TOKEN|CREDENTIAL|API_KEYS")
    assert secret == {one.metadata["variable"] for one in fields(Settings) if named.search(one.metadata["variable"])}


@pytest.mark.parametrize(
    ("roles", "consumes", "serves"), [("all", True, True), ("api", False, True), ("worker", True, False)]
)
def test_the_roles_split_the_work(roles: str, consumes: bool, serves: bool) -> None:
    settings = Settings.load({"ROLES": roles})
    assert (settings.consumes, settings.serves_orders) == (consumes, serves)


@pytest.mark.parametrize("variable", ["METRICS_ACCESS", "READYZ_ACCESS", "DOCUMENTS_ACCESS"])
def test_nothing_is_for_operators_alone_while_nobody_is_asked_who_calls(variable: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable} must not be operator while AUTH_MODE is off"):
        Settings.load({variable: "operator"})


@pytest.mark.parametrize(("mode", "expected"), [("off", [True, True, True]), ("api_key", [False, False, True])])
def test_with_authentication_on_metrics_and_parts_are_for_operators(mode: str, expected: list[bool]) -> None:
    settings = Settings.load({"AUTH_MODE": mode})
    accesses = (settings.metrics_access, settings.readyz_access, settings.documents_access)
    assert [settings.is_open(access) for access in accesses] == expected


@pytest.mark.parametrize("mode", ["jwt", "both"])
@pytest.mark.parametrize("variable", ["JWT_JWKS_URL", "JWT_ISSUER", "JWT_AUDIENCE"])
def test_tokens_need_a_provider_an_issuer_and_an_audience(mode: str, variable: str) -> None:
    all_three = {"JWT_JWKS_URL": "https://a/", "JWT_ISSUER": "a", "JWT_AUDIENCE": "a"}
    assert Settings.load({"AUTH_MODE": mode, **all_three}).takes_tokens
    with pytest.raises(SettingsError, match=f"^{variable} must be set while AUTH_MODE is {mode}$"):
        Settings.load({"AUTH_MODE": mode, **all_three, variable: ""})


def test_the_query_of_the_key_url_is_not_shown() -> None:
    settings = Settings.load({"JWT_JWKS_URL": "https://a/jwks?key=hidden"})
    assert "hidden" not in repr(settings)
    assert "https://a/jwks" in repr(settings)
    assert "hidden" not in refusal("JWT_JWKS_URL", "http://a/jwks?key=hidden")


def test_a_setting_that_does_nothing_any_more_is_named() -> None:
    assert gone({"PORT": "3000"}) == []
    [threads, cpus] = gone({"WEB_THREADS": "lots", "CPU_AFFINITY": "any"})
    assert threads == "WEB_THREADS no longer does anything: requests no longer have threads"
    assert cpus.startswith("CPU_AFFINITY no longer does anything: ")


def test_every_variable_has_a_row_in_the_table() -> None:
    variables = {line.split("`")[1] for line in settings_page.page().splitlines() if line.startswith("| `")}
    assert variables == {name for name, _ in BAD}
