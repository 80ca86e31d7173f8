"""Kafka's security settings: what makes no sense together, files that cannot be used, and what the client gets."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from kafka.errors import KafkaError, KafkaTimeoutError

from app.config import config, kafka_security
from app.config.config import Settings, SettingsError
from app.kafka.security import ClientRefused, SecretsInUse, options
from tests.harness.certificates import Keyed, bundle, issue, write

LOGIN = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "orders",
    "KAFKA_SASL_PASSWORD_FILE": "password",
}
PAIR = {"KAFKA_SSL_CERTIFICATE_FILE": "cert", "KAFKA_SSL_KEY_FILE": "key"}
TOKEN = {"KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_SASL_TOKEN_FILE": "token"}
NONSENSE = [
    ({"KAFKA_SASL_MECHANISM": "PLAIN"}, "KAFKA_SASL_MECHANISM needs"),
    ({"KAFKA_SASL_USERNAME": "orders", "KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_SASL_USERNAME needs"),
    ({"KAFKA_SASL_PASSWORD_FILE": "password"}, "KAFKA_SASL_PASSWORD_FILE needs"),
    ({"KAFKA_SSL_CA_FILE": "ca"}, "KAFKA_SSL_CA_FILE needs"),
    (LOGIN | {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"} | PAIR, "KAFKA_SSL_CERTIFICATE_FILE needs"),
    (LOGIN | {"KAFKA_SASL_MECHANISM": ""}, "KAFKA_SASL_MECHANISM must be set"),
    (LOGIN | {"KAFKA_SASL_USERNAME": ""}, "KAFKA_SASL_USERNAME must be set"),
    (LOGIN | {"KAFKA_SASL_PASSWORD_FILE": ""}, "KAFKA_SASL_PASSWORD_FILE must be set"),
    (LOGIN | {"KAFKA_SASL_TOKEN_FILE": "token"}, "KAFKA_SASL_TOKEN_FILE must be empty"),
    (LOGIN | TOKEN, "KAFKA_SASL_PASSWORD_FILE must be empty"),
    ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}, "KAFKA_SASL_TOKEN_FILE must be"),
    ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CERTIFICATE_FILE": "cert"}, "KAFKA_SSL_KEY_FILE must be set"),
    ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY_FILE": "key"}, "KAFKA_SSL_CERTIFICATE_FILE must be set"),
    ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY_PASSWORD_FILE": "p"}, "KAFKA_SSL_KEY_FILE must be set"),
]

Break = Callable[[Path], Any]


@pytest.mark.parametrize(("environment", "sentence"), NONSENSE)
def test_settings_that_mean_nothing_together_are_refused(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(environment)
    assert str(refused.value).startswith(sentence)


def test_the_default_is_plain_text_and_reads_no_file() -> None:
    settings = Settings.load({})
    assert options(settings) == {"security_protocol": "PLAINTEXT"}
    assert kafka_security.watched_files(settings) == []


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def own(ca: trustme.CA) -> Keyed:
    return issue(ca, "orders", common_name="orders")


@pytest.fixture
def environment(tmp_path: Path, ca: trustme.CA, own: Keyed) -> dict[str, str]:
    """Every file is there and right."""
    contents = {"ca": bundle(ca), "cert": own.chain, "key": own.with_password("k"), "key-password": b"k\n"}
    for name, content in (contents | {"password": b"hush-hush\n", "token": b"a.b.c\n"}).items():
        write(tmp_path / name, content)
    files = PAIR | {"KAFKA_SSL_CA_FILE": "ca", "KAFKA_SSL_KEY_PASSWORD_FILE": "key-password"}
    found = {name: str(tmp_path / file) for name, file in files.items()}
    return LOGIN | found | {"KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "password")}


def started(environment: dict[str, str]) -> str:
    """Return the sentence with which the start is refused."""
    with pytest.raises(SystemExit) as ended:
        config.from_environment(environment)
    return str(ended.value)


def test_the_client_gets_all_of_it(environment: dict[str, str]) -> None:
    settings = config.from_environment(environment)
    found = options(settings)
    context = found.pop("ssl_context")
    assert found == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "orders",
        "sasl_plain_password": "hush-hush",
    }
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert "hush-hush" not in repr(found)
    assert "hush-hush" not in repr(settings)
    assert len(kafka_security.watched_files(settings)) == 5


@pytest.mark.parametrize(("mechanism", "user"), [("PLAIN", "a,b=c"), ("SCRAM-SHA-256", "a=2Cb=3Dc")])
def test_a_user_is_written_as_the_mechanism_asks(environment: dict[str, str], mechanism: str, user: str) -> None:
    named = {"KAFKA_SASL_USERNAME": "a,b=c", "KAFKA_SASL_MECHANISM": mechanism}
    assert options(Settings.load(environment | named))["sasl_plain_username"] == user


def test_the_token_is_read_at_each_login(environment: dict[str, str], tmp_path: Path) -> None:
    by_token = {"KAFKA_SASL_USERNAME": "", "KAFKA_SASL_PASSWORD_FILE": ""} | TOKEN
    settings = config.from_environment(environment | by_token | {"KAFKA_SASL_TOKEN_FILE": str(tmp_path / "token")})
    provider = options(settings)["sasl_oauth_token_provider"]
    assert provider.token() == "a.b.c"
    write(tmp_path / "token", b"d.e.f\n")
    assert provider.token() == "d.e.f"
    assert str(tmp_path / "token") not in kafka_security.watched_files(settings)


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("password", None, "KAFKA_SASL_PASSWORD_FILE names a file that cannot be read"),
        ("password", b"\n", "KAFKA_SASL_PASSWORD_FILE names an empty file"),
        ("ca", None, "KAFKA_SSL_CA_FILE names a file that cannot be read"),
        ("ca", b"", "KAFKA_SSL_CA_FILE names a file without PEM certificates"),
        ("ca", b"-----BEGIN CERTIFICATE-----\nhalf", "KAFKA_SSL_CA_FILE names a file without PEM certificates"),
        ("cert", None, "KAFKA_SSL_CERTIFICATE_FILE names a file that cannot be read"),
        ("cert", b"-----BEGIN CERTIFICATE-----\nhalf", "KAFKA_SSL_CERTIFICATE_FILE, "),
        ("key", None, "KAFKA_SSL_KEY_FILE names a file that cannot be read"),
        ("key", b"-----BEGIN PRIVATE KEY-----\nhalf", "KAFKA_SSL_CERTIFICATE_FILE, KAFKA_SSL_KEY_FILE"),
        ("key-password", None, "KAFKA_SSL_KEY_PASSWORD_FILE names a file that cannot be read"),
        ("key-password", b"other\n", "KAFKA_SSL_CERTIFICATE_FILE, KAFKA_SSL_KEY_FILE or KAFKA_SSL_KEY_PASSWORD_FILE"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(
    environment: dict[str, str], tmp_path: Path, file: str, content: bytes | None, sentence: str
) -> None:
    if content is None:
        (tmp_path / file).unlink()
    else:
        write(tmp_path / file, content)
    assert started(environment).startswith(f"The service cannot start: {sentence}")
    with pytest.raises(ClientRefused, match=r"^KAFKA_S"):
        options(Settings.load(environment))


def test_another_key_than_the_certificates_is_named(
    environment: dict[str, str], tmp_path: Path, ca: trustme.CA
) -> None:
    write(tmp_path / "key", issue(ca, "orders").key)
    assert "KAFKA_SSL_KEY_FILE has another key than KAFKA_SSL_CERTIFICATE_FILE" in started(environment)


def test_a_key_with_a_password_asks_nobody_at_the_terminal(environment: dict[str, str]) -> None:
    assert "KAFKA_SSL_KEY_PASSWORD_FILE must be set" in started(environment | {"KAFKA_SSL_KEY_PASSWORD_FILE": ""})


def test_a_worker_starts_while_a_file_changes(environment: dict[str, str], tmp_path: Path) -> None:
    """gunicorn would start it again and again, and nobody would answer meanwhile."""
    (tmp_path / "password").unlink()
    assert config.from_environment(environment | {config.HAS_READ_ENV_FILE: "1"}).kafka_sasl_username == "orders"


def test_new_secrets_are_used_once_kafka_takes_them(environment: dict[str, str], tmp_path: Path) -> None:
    secrets, proved = SecretsInUse(Settings.load(environment)), list[str]()

    def prove() -> None:
        proved.append((tmp_path / "password").read_text())
        if proved[-1] == "wrong":
            raise KafkaTimeoutError("refused")

    assert secrets.follow(prove) is None
    assert (secrets.generation, proved) == (0, [])
    write(tmp_path / "password", b"wrong")
    assert "refused" in str(secrets.follow(prove))
    assert "refused" in str(secrets.follow(prove))
    assert secrets.generation == 0
    write(tmp_path / "password", b"right")
    assert secrets.follow(prove) is None
    assert secrets.follow(prove) is None
    assert (secrets.generation, proved) == (1, ["wrong", "wrong", "right"])
    write(tmp_path / "password", b"hush-hush\n")
    assert secrets.follow(prove) is None
    assert secrets.generation == 2


def test_the_old_secrets_back_again_are_no_change(environment: dict[str, str], tmp_path: Path) -> None:
    secrets = SecretsInUse(Settings.load(environment))

    def refuse() -> None:
        raise KafkaError("refused")

    write(tmp_path / "password", b"wrong")
    assert secrets.follow(refuse) is not None
    write(tmp_path / "password", b"hush-hush\n")
    assert secrets.follow(refuse) is None
