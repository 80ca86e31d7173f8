"""Schemathesis sends what the document allows and forbids, and compares the answers with the document."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from schemathesis import Case, Config, GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.core.transport import Response
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.models.order import OrderStatus
from app.wire.encoder import encode
from tools.documents.openapi import document

CONFIG: dict[str, Any] = {
    "checks": {"max_response_time": 4},  # [H1]
    "generation": {
        "allow-x00": False,  # [R6] no NUL in any text; a schema cannot say so of keys it does not know
        "deterministic": True,
    },
}
BOUNDED = hypothesis.settings(
    max_examples=20, derandomize=True, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)

served: list[Flask] = []
# Without the server's address: the app runs in this process, and paths behind a relative address would lack a slash.
described = {name: part for name, part in json.loads(encode(document())).items() if name != "servers"}
schema = from_dict(described, config=Config.from_dict(CONFIG))
schema.app = lambda environ, start_response: served[-1](environ, start_response)


@pytest.fixture(scope="module", autouse=True)
def _serve(documented_app: Flask) -> Iterator[None]:
    served.append(documented_app)
    yield
    served.clear()


REFUSED_BY_THE_RULES = {
    "updateOrderStatus": {"status_not_allowed"},  # [H8] leaving a final status
    "verifyAndAcceptOrder": {"status_not_allowed", "order_taken"},  # [H9]
    "cancelOrder": {"status_not_allowed"},  # [H10]
    "cancelAcceptance": {"status_not_allowed"},  # [H11]
    "clearRunner": {"status_not_allowed", "runner_mismatch"},  # [H12]
    "completeOrder": {"status_not_allowed"},  # [H13]
    "createOrder": {"money_over_ceiling"},  # [O2] the sum over the items; no schema can add up
    "testCreateOrder": {"money_over_ceiling"},  # [O2]
}
"""Where the contract refuses data that has the right shape with a 400: only there, and only with these codes."""


def not_expected(case: Case[Any], response: Response) -> list[CheckFunction]:
    """The checks that the contract forbids to pass for this very answer."""
    call = case.operation.definition.raw["operationId"]
    codes = REFUSED_BY_THE_RULES.get(call, set())
    if response.status_code == 400 and response.json()["code"] in codes:
        return [positive_data_acceptance]
    return []


def with_a_key_of_its_own(case: Case[Any]) -> None:
    """[H15] One key for two bodies is a 422 whatever they are: each call gets its own, unless the key is malformed."""
    key = case.headers.get("Idempotency-Key") if case.headers else None
    if key and len(key) <= 255 and key.isascii() and key.isprintable():
        case.headers["Idempotency-Key"] = f"{key}{uuid4()}"[-255:]


def about_an_order_that_exists(case: Case[Any], caller: FlaskClient) -> None:
    """Where an order is named as it should be, name one: in any status, so that the rules are reached too."""
    usable = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    named: Any = case.body if isinstance(case.body, dict) else case.query
    if not usable or "orderId" not in named:
        return
    body = {"customer_id": "c", "order_details": {"foodItems": [{"price": 1, "quantity": 1}], "deliveryLocation": "d"}}
    order_id = caller.post("/createOrder", json=body).get_json()["order_id"]
    status = list(OrderStatus)[sum(named["orderId"].encode()) % len(OrderStatus)]
    caller.post("/updateOrderStatus", json={"orderId": order_id, "status": status})
    named["orderId"] = order_id


@schema.parametrize()
@BOUNDED
def test_every_answer_is_as_documented(case: Case[Any]) -> None:
    """[H1] to [H16]"""
    with_a_key_of_its_own(case)
    about_an_order_that_exists(case, served[-1].test_client())
    response = case.call()
    case.validate_response(response, excluded_checks=not_expected(case, response))
