"""The service on an Apache Kafka with TLS and logins: every way in, and a change of the secrets while it runs."""

import base64
import json
import time
from pathlib import Path

import pytest

from tests.harness.certificates import issue, write
from tests.harness.secure_broker import MECHANISMS, USER, SecureBroker
from tests.harness.world import World, a_create, details, service_of

TOKEN_SECONDS = 5.0
BODY = {"customer_id": "ann", "order_details": details()}


def works(world: World, **way: str) -> World:
    """Start the service; an order by HTTP and one by a command are announced."""
    app = world.start(**way)
    answer = app.test_client().post("/createOrder", json=BODY)
    assert answer.status_code == 201
    world.send(a_create())
    world.settle()
    assert len(world.replies()) == 2
    return world


def a_token(name: str = USER, seconds: float = 3600) -> bytes:
    """A token as a development broker takes it: without a signature."""
    claims = {"sub": name, "iat": time.time() - 1, "exp": time.time() + seconds}
    head, body = (base64.urlsafe_b64encode(json.dumps(it).encode()).rstrip(b"=") for it in ({"alg": "none"}, claims))
    return b"%s.%s." % (head, body)


def by_token(secure: SecureBroker, folder: Path) -> dict[str, str]:
    way = secure.login(folder, "OAUTHBEARER")
    del way["KAFKA_SASL_USERNAME"], way["KAFKA_SASL_PASSWORD_FILE"]
    return way | {"KAFKA_SASL_TOKEN_FILE": str(write(folder / "token", a_token()))}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_each_way_to_log_in_over_tls(secured: World, secure: SecureBroker, tmp_path: Path, mechanism: str) -> None:
    if mechanism == "OAUTHBEARER":
        works(secured, **by_token(secure, tmp_path))
    else:
        works(secured, **secure.login(tmp_path, mechanism))


def test_a_login_without_tls(secured: World, secure: SecureBroker, tmp_path: Path) -> None:
    works(secured, **secure.login(tmp_path, "SCRAM-SHA-256", "OPEN"))


def test_tls_without_a_login(secured: World, secure: SecureBroker) -> None:
    """By the name `localhost`, which is also what the broker advertises."""
    works(secured, **secure.way("TLS"))


def test_a_certificate_and_an_encrypted_key_of_the_services_own(
    secured: World, secure: SecureBroker, tmp_path: Path
) -> None:
    works(secured, **mutual(secure, tmp_path))


def test_an_open_connection_logs_in_again_with_the_next_token(
    secured: World, secure: SecureBroker, tmp_path: Path
) -> None:
    """Without a new client: a token may live for minutes."""
    way = by_token(secure, tmp_path)
    write(tmp_path / "token", a_token(seconds=TOKEN_SECONDS))
    works(secured, **way)
    write(tmp_path / "token", a_token())
    time.sleep(TOKEN_SECONDS + 1)  # the broker closes connections that logged in with the first one only
    secured.send(a_create())
    secured.settle()
    assert len(secured.replies()) == 3
    assert [thread.last_error for thread in service_of(secured.apps[0]).threads if thread.restarts] == []


def mutual(secure: SecureBroker, folder: Path) -> dict[str, str]:
    own = issue(secure.ca, USER, common_name=USER)
    contents = {"certificate": own.chain, "key": own.with_password("k"), "key_password": b"k\n"}
    paths = {f"KAFKA_SSL_{name.upper()}_FILE": str(write(folder / name, it)) for name, it in contents.items()}
    return secure.way("MUTUAL") | paths
