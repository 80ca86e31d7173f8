"""The documents say what the code does."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask
from openapi_spec_validator import validate
from pydantic import ValidationError

from app import create_app
from app.config.config import Settings
from app.models.order import OrderState
from app.wire.bodies import CHANGES, SAYS_SUCCESS
from app.wire.decoder import decode
from app.wire.encoder import encode
from tests.harness import builders
from tools import marks
from tools.documents import schemas
from tools.documents.calls import POSTS
from tools.documents.openapi import document as openapi

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def app() -> Flask:
    """Wire the app; nothing is opened by that."""
    return create_app(Settings.load({}))


def test_openapi_is_a_valid_3_1_document() -> None:
    document = decode(encode(openapi()))
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_openapi_describes_every_endpoint_of_the_orders(app: Flask) -> None:
    """[H2] to [H13]: the endpoints of the contract, each with its method."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("orders.") or rule.rule == "/health"]
    served = {
        (re.sub("<.+>", "{}", rule.rule), method.lower())
        for rule in rules
        for method in (rule.methods or set()) & {"GET", "POST"}
    }
    described = {
        (re.sub("{.+}", "{}", path), method) for path, methods in openapi()["paths"].items() for method in methods
    }
    contract = re.findall(r"`(GET|POST) (/[^`?]*)", marks.CONTRACT.read_text())
    promised = {(re.sub("<.+>", "{}", path), method.lower()) for method, path in contract}
    assert described == served == promised


def test_the_lists_of_posts_have_every_route() -> None:
    """What a list lacks is left out of each test that goes through the list. [H1]"""
    assert builders.POSTS.keys() == {form.path for _, _, form in CHANGES} == {f"/{call}" for call in POSTS}
    assert set(builders.SAYS_SUCCESS) == SAYS_SUCCESS


def test_openapi_is_served(app: Flask) -> None:
    response = app.test_client().get("/openapi.json")
    assert response.status_code == 200
    assert response.get_json()["paths"].keys() == openapi()["paths"].keys()


def test_openapi_warns_of_shared_correlation_ids() -> None:
    """[H16]"""
    assert "one notification" in openapi()["info"]["description"]


def test_every_post_documents_its_failures_and_the_key() -> None:
    """[H15]"""
    for name in POSTS:
        operation = openapi()["paths"][f"/{name}"]["post"]
        assert {"400", "409", "413", "415", "422", "503"} <= operation["responses"].keys()
        assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]]


def test_the_examples_of_the_document_are_accepted_by_the_bodies() -> None:
    for _, body, form in CHANGES:
        for example in POSTS[form.path.removeprefix("/")].sent.values():
            body.model_validate(decode(encode(example)))


def test_the_shape_of_an_order_has_exactly_its_fields() -> None:
    """[O1] [O5]"""
    now = datetime.now(UTC)
    order = OrderState(
        order_id="o",
        cust_id="c",
        order_description="[]",
        food_fee=Decimal("1.00"),
        delivery_fee=Decimal("0.00"),
        delivery_location="d",
        created_at=now,
        updated_at=now,
    )
    wire = decode(encode(order.to_wire()))
    schemas.Order.model_validate(wire)
    assert wire.keys() == schemas.Order.model_fields.keys()
    with pytest.raises(ValidationError):
        schemas.Order.model_validate({**wire, "orderStatus": "EATEN"})
