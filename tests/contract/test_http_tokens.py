"""AUTH_MODE=jwt from the socket to the answer: a real provider on loopback, the service's own server and Flask's."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

from app.models.callers import Scope
from app.operations import keys
from app.operations.audit import Operator
from tests.contract.conftest import Tables, make_app
from tests.harness.builders import Answer, Caller, create_body
from tests.harness.door import open_door, through
from tests.harness.provider import AUDIENCE, ISSUER, Provider, Signer, running, signer

FIRST, SECOND = signer("EdDSA", "first"), signer("RS256", "second")
READ, WRITE, OPERATOR = "orders:read", "orders:write", "operator"


def app_of(url: str, provider: Provider, mode: str = "jwt") -> Flask:
    named = {"JWT_JWKS_URL": provider.url, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
    return make_app(url, AUTH_MODE=mode, **named)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running(FIRST, SECOND) as made:
        yield made


@pytest.fixture(scope="module")
def jwt_app(url: str, provider: Provider) -> Flask:
    made = app_of(url, provider)
    made.extensions["health"].jwks.step(time.monotonic())
    return made


@pytest.fixture(scope="module")
def port(jwt_app: Flask) -> Iterator[int]:
    with open_door(jwt_app) as found:
        yield found


@pytest.fixture(params=["loop", "flask"])
def client(request: pytest.FixtureRequest, jwt_app: Flask, port: int) -> Caller:
    return Caller(jwt_app.test_client() if request.param == "flask" else Client(through(port), TestResponse))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token(*scopes: str, by: Signer = FIRST, **claims: Any) -> str:
    return by.token(scope=" ".join(scopes), **claims)


def refused(answer: Answer) -> tuple[int, str, str, str | None]:
    return answer.status_code, answer.json["code"], answer.json["error"], answer.headers.get("WWW-Authenticate")


@pytest.mark.parametrize("by", [FIRST, SECOND], ids=lambda by: by.algorithm)
def test_a_token_may_what_its_scopes_say(client: Caller, by: Signer) -> None:
    """[S1] [S2] [S4]"""
    created = client.post("/createOrder", create_body(), **bearer(token(WRITE, by=by)))
    assert created.status_code == 201
    order_id = created.json["order_id"]
    created_too = {"orderId": order_id, "status": "CREATED"}
    assert client.get("/getOrderDetails", bearer(token(READ, by=by)), orderId=order_id).status_code == 200
    assert client.post("/updateOrderStatus", created_too, **bearer(token(OPERATOR, by=by))).status_code == 200
    for answer in (
        client.get("/getOrderDetails", bearer(token(WRITE, by=by)), orderId=order_id),
        client.post("/updateOrderStatus", created_too, **bearer(token(READ, by=by))),
        client.get("/metrics", bearer(token(READ, WRITE, by=by))),
        client.get("/orders", bearer(token("openid", by=by))),
    ):
        assert (answer.status_code, answer.json["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"exp": 1}, "The token has expired"),
        ({"aud": "another"}, "The token is for another audience"),
        ({"iss": "https://other.example"}, "The token comes from another issuer"),
        ({"sub": "a\nb"}, "The token names no caller in its claim sub"),
    ],
)
def test_a_token_that_is_not_good_is_answered_401(client: Caller, claims: dict[str, Any], sentence: str) -> None:
    """[S2]"""
    answer = client.get("/orders", bearer(token(READ, **claims)))
    assert refused(answer) == (401, "unauthorized", sentence, 'Bearer realm="orders", error="invalid_token"')


def test_an_unknown_key_is_answered_401_at_once_and_asked_for(client: Caller, provider: Provider) -> None:
    """[S4]"""
    fetches = provider.fetches
    answer = client.get("/orders", bearer(token(READ, by=signer("ES256", "made-up"))))
    assert refused(answer)[:2] == (401, "unauthorized")
    assert provider.fetches == fetches


def test_an_api_key_is_no_credential_in_this_mode(client: Caller) -> None:
    assert refused(client.get("/orders", bearer("ok_id_secret")))[:3] == (
        401,
        "unauthorized",
        "Send a token as the credential",
    )


def test_the_caller_of_a_token_stands_in_the_history(client: Caller, tables: Tables) -> None:
    """[S3]"""
    created = client.post("/createOrder", create_body(), **bearer(token(WRITE, sub="Jörg's shop")))
    assert [change["caller"] for change in tables.changes(created.json["order_id"])] == ["Jörg's shop"]


@pytest.fixture(scope="module")
def both(url: str, provider: Provider) -> Flask:
    made = app_of(url, provider, "both")
    made.extensions["health"].jwks.step(time.monotonic())
    return made


def test_a_token_and_an_api_key_work_side_by_side(both: Flask, tables: Tables) -> None:
    """[S1] [S3]"""
    key = keys.create(Operator(both.extensions["settings"], "test"), "till", {Scope.WRITE}).key
    both.extensions["api_keys"].refresh()
    with open_door(both) as port:
        client = Caller(Client(through(port), TestResponse))
        callers = {}
        for credential in (key, token(WRITE, sub="shop")):
            created = client.post("/createOrder", create_body(), **bearer(credential))
            (change,) = tables.changes(created.json["order_id"])
            callers[credential] = change["caller"]
        assert list(callers.values()) == ["till", "shop"]
        assert client.post("/createOrder", create_body(), **bearer(key[:-1] + "x")).status_code == 401
        assert client.post("/createOrder", create_body(), **bearer(token(WRITE, exp=1))).status_code == 401


@pytest.mark.parametrize("kind", ["loop", "flask"])
def test_while_the_provider_has_given_no_keys_a_token_is_answered_503(url: str, kind: str) -> None:
    """[S2] 401 would say that the token is bad; its owner would ask the provider, which is away, for another one."""
    with running(FIRST) as provider:
        app = app_of(url, provider)
        provider.stop()
        health = app.extensions["health"]
        health.jwks.step(0.0)
        with open_door(app) as port:
            client = Caller(app.test_client() if kind == "flask" else Client(through(port), TestResponse))
            answer = client.get("/orders", bearer(token(READ)))
            assert refused(answer)[:2] == (503, "service_busy")
            assert int(answer.headers["Retry-After"]) > 0
            assert client.get("/livez").status_code == 200
            assert client.get("/orders").status_code == 401
            assert health.jwks.part()["reason"].startswith("ConnectionRefusedError")
            provider.start()
            health.jwks.step(100.0)
            assert client.get("/orders", bearer(token(READ))).status_code == 200
