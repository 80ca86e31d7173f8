"""Kafka and the service do not take each other: one sentence names the setting, HTTP goes on, the right file heals."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from kafka.errors import KafkaTimeoutError

from app.config.config import Settings
from app.kafka import broker_view, clients, operator
from app.kafka.security import ClientRefused
from app.services import watch
from tests.harness.certificates import bundle, write
from tests.harness.secure_broker import PASSWORD, SecureBroker
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_create, details, wait_for

Way = Callable[[SecureBroker, Path], dict[str, str]]
BODY = {"customer_id": "ann", "order_details": details()}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch looks more often, and attempts are given up sooner."""
    monkeypatch.setattr(watch, "WATCH_LOOK_SECONDS", 0.5)
    monkeypatch.setattr(clients, "BOOTSTRAP_MS", 2000)
    monkeypatch.setattr(broker_view, "ASK_MS", 2000)
    monkeypatch.setattr(operator, "REQUEST_MS", 2500)


def wrong_password(secure: SecureBroker, folder: Path) -> dict[str, str]:
    way = secure.login(folder)
    write(folder / "password", b"wrong\n")
    return way


def wrong_mechanism(secure: SecureBroker, folder: Path) -> dict[str, str]:
    """The user has a password for the other kind of SCRAM only: the broker says no more than of a wrong one."""
    secure.set_password("second", "another")
    write(folder / "password", b"second\n")
    return secure.login(folder, "SCRAM-SHA-256") | {"KAFKA_SASL_USERNAME": "another"}


def unknown_ca(secure: SecureBroker, folder: Path) -> dict[str, str]:
    return secure.way("TLS") | {"KAFKA_SSL_CA_FILE": str(write(folder / "ca", bundle(trustme.CA())))}


def expired(secure: SecureBroker, folder: Path) -> dict[str, str]:
    return secure.way("EXPIRED")


def another_name(secure: SecureBroker, folder: Path) -> dict[str, str]:
    return secure.way("MISNAMED")


def no_certificate(secure: SecureBroker, folder: Path) -> dict[str, str]:
    return secure.way("MUTUAL")


def login_where_none_is(secure: SecureBroker, folder: Path) -> dict[str, str]:
    return secure.login(folder) | {"KAFKA_BOOTSTRAP_SERVERS": secure.address("TLS")}


def tls_where_none_is(secure: SecureBroker, folder: Path) -> dict[str, str]:
    return secure.way("TLS") | {"KAFKA_BOOTSTRAP_SERVERS": secure.bootstrap}


@pytest.mark.parametrize(
    ("way", "named"),
    [
        (wrong_password, "KAFKA_SASL_PASSWORD_FILE"),
        (wrong_mechanism, "KAFKA_SASL_USERNAME"),
        (unknown_ca, "no CA in KAFKA_SSL_CA_FILE signed"),
        (expired, "is not valid now"),
        (another_name, "KAFKA_BOOTSTRAP_SERVERS"),
        (no_certificate, "KAFKA_SSL_CERTIFICATE_FILE"),
        (login_where_none_is, "KAFKA_SECURITY_PROTOCOL"),
        (tls_where_none_is, "KAFKA_SECURITY_PROTOCOL"),
    ],
)
def test_each_refusal_names_the_setting(secure: SecureBroker, tmp_path: Path, way: Way, named: str) -> None:
    sentence = wait_for(partial(refusal, Settings.load(way(secure, tmp_path))), "a refusal")
    assert named in sentence
    assert PASSWORD not in sentence


def refusal(settings: Settings) -> str | None:
    """Return why the client is refused; None if a busy machine did not even get so far within a second."""
    try:
        clients.admin(settings, 1000).close()
    except ClientRefused as error:
        return str(error)
    except KafkaTimeoutError:
        return None
    return "taken"


def broker_part(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.apps[0].test_client().get("/readyz").get_json()["parts"]["broker"]
    return found


def says(world: World, named: str) -> bool:
    sentence = world.alarm("broker_away") or ""
    return "takes the service" in sentence and named in sentence and named in broker_part(world)["reason"]


def test_http_goes_on_and_the_right_files_heal(secured: World, secure: SecureBroker, tmp_path: Path) -> None:
    """First the CA is another one, then the password is wrong."""
    way = wrong_password(secure, tmp_path) | {"KAFKA_SSL_CA_FILE": str(write(tmp_path / "ca", bundle(trustme.CA())))}
    client = secured.start(**way).test_client()
    secured.send(a_create())
    wait_for(lambda: says(secured, "KAFKA_SSL_CA_FILE"), "the alarm about the CA", 40)
    assert client.post("/createOrder", json=BODY).status_code == 201
    write(tmp_path / "ca", bundle(secure.ca))
    wait_for(lambda: says(secured, "KAFKA_SASL_PASSWORD_FILE"), "the alarm about the password", 40)
    write(tmp_path / "password", f"{PASSWORD}\n".encode())
    secured.settle()
    wait_for(lambda: not secured.alarm("broker_away"), "the end of the alarm", 40)
    assert len(secured.replies()) == 2
    assert broker_part(secured) == {"ok": True, "reason": None}


def test_the_command_line_says_it_too(secured: World, secure: SecureBroker, tmp_path: Path) -> None:
    secured.environment |= wrong_password(secure, tmp_path)
    sentence = Terminal(secured).refusal("offsets", "show")
    assert "KAFKA_SASL_PASSWORD_FILE" in sentence
    secured.environment |= secure.login(tmp_path)
    assert Terminal(secured).run("offsets", "show").exit_code == 0
