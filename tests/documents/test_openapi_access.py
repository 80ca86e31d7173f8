"""The OpenAPI document says who may call: as the table of the endpoints has it, and as the service answers."""

import json
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.config.config import Settings
from app.models.callers import Scope
from app.operations import keys
from app.operations.audit import Operator
from app.wire.encoder import encode
from tests.harness.builders import unique
from tools.documents import openapi

DOCUMENT: dict[str, Any] = json.loads(encode(openapi.document()))
OPERATIONS = [
    (method.upper(), path, operation)
    for path, found in DOCUMENT["paths"].items()
    for method, operation in found.items()
]
PREFIXES = {"/orders/customer/{customer_id}": "/orders/customer/"}


@pytest.fixture(scope="module")
def asking(documented_app: Flask) -> Flask:
    """An app on the same database that asks who calls."""
    url = documented_app.extensions["settings"].database_url
    return create_app(
        Settings.load({"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "AUTH_MODE": "api_key"})
    )


def key_with(app: Flask, scope: Scope) -> str:
    made = keys.create(Operator(app.extensions["settings"], "test"), unique(), {scope})
    app.extensions["api_keys"].refresh()
    return made.key


def test_each_operation_names_the_scope_that_its_endpoint_asks_for(documented_app: Flask) -> None:
    """[S1]"""
    asked = {(it.method, it.path): it.scope for it in documented_app.extensions["endpoints"]}
    for method, path, operation in OPERATIONS:
        scope = asked[method, PREFIXES.get(path, path)]
        assert operation["security"] == ([{}] if scope is None else [{"bearer": [scope]}, {}]), path
        assert {"401", "403"} <= operation["responses"].keys() or scope is None


def test_a_service_that_asks_serves_a_document_in_which_security_is_not_optional(asking: Flask) -> None:
    """[S1]"""
    served = asking.test_client().get("/openapi.json").json
    assert served is not None
    for method, path, operation in OPERATIONS:
        needed = [way for way in operation["security"] if way] or [{}]
        assert served["paths"][path][method.lower()]["security"] == needed


@pytest.mark.parametrize(("method", "path", "operation"), [it for it in OPERATIONS if it[2]["security"] != [{}]])
def test_the_documented_refusals_are_the_answers(
    asking: Flask, method: str, path: str, operation: dict[str, Any]
) -> None:
    """[S2]"""
    other = {Scope.READ: Scope.WRITE, Scope.WRITE: Scope.READ}[operation["security"][0]["bearer"][0]]
    client = asking.test_client()
    for status, headers in (("401", {}), ("403", {"Authorization": f"Bearer {key_with(asking, other)}"})):
        answer = client.open(path.format(customer_id="c"), method=method, headers=headers)
        documented = operation["responses"][status]
        assert "WWW-Authenticate" in documented["headers"]
        examples = documented["content"]["application/json"]["examples"]
        assert (str(answer.status_code), [answer.json]) == (status, [it["value"] for it in examples.values()])
