"""Every refusal of a call as an example: its code and sentence come from the very readers and rules that refuse.

The few that come from elsewhere than the body are texts here; a test provokes each of them.
"""

from collections.abc import Mapping
from typing import Any

from app.api import pages
from app.models.commands import (
    AcceptOrder,
    CancelAcceptance,
    CancelOrder,
    ClearRunner,
    CompleteOrder,
    OrderCommand,
    UpdateStatus,
)
from app.models.order import OrderState, OrderStatus
from app.models.rules import Refusal, decide
from app.utils.decoder import Unreadable, decode
from app.utils.encoder import encode
from app.utils.text import clip
from app.wire import fields
from app.wire.bodies import Body
from app.wire.fields import InvalidFields
from tools.documents import examples

Sentences = Mapping[str, str]
"""The sentence of each code."""

_LONG_ID = "x" * (fields.MAX_ID_LENGTH + 1)

UNREADABLE_BODIES: Mapping[str, bytes] = {
    "invalid_json": b'{"orderId": ',
    "too_deep": b"[" * 33,
    "duplicate_key": b'{"orderId": "a", "orderId": "b"}',
    "number_out_of_range": b'{"orderId": NaN}',
    "invalid_text": b'{"orderId": "\\u0000"}',
}
"""By code, a body that no POST can read."""

_CREATE_DETAILS = examples.DETAILS
_COSTLY = {**_CREATE_DETAILS, "foodItems": [{"name": "Caviar", "price": 500, "quantity": 2}]}
_HALF_AN_ITEM = {**_CREATE_DETAILS, "foodItems": [{"name": "Soup", "price": 4.2, "quantity": 1.5}]}
_CREATES: Mapping[str, Mapping[str, Any]] = {
    "missing_fields": {"customer_id": examples.CUSTOMER, "order_details": {"foodItems": []}},
    "invalid_field": {"customer_id": examples.CUSTOMER, "order_details": _HALF_AN_ITEM},
    "money_over_ceiling": {"customer_id": examples.CUSTOMER, "order_details": _COSTLY},
}
_OTHERS: Mapping[str, Mapping[str, Any]] = {
    "missing_fields": {"orderId": ""},
    "invalid_field": {"orderId": _LONG_ID, "status": "PLACED", "runner_id": examples.RUNNER},
}
_UPDATE = {**_OTHERS, "invalid_status": {"orderId": examples.ORDER_ID, "status": "EATEN"}}
UNUSABLE_BODIES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "createOrder": _CREATES,
    "testCreateOrder": _CREATES,
    "updateOrderStatus": _UPDATE,
    "verifyAndAcceptOrder": _OTHERS,
    "cancelOrder": _OTHERS,
    "cancelAcceptance": _OTHERS,
    "clearRunner": _OTHERS,
    "completeOrder": _OTHERS,
}
"""By call and code, a body whose fields cannot be used."""

_ID = examples.ORDER_ID
AGAINST_THE_RULES: Mapping[str, tuple[tuple[OrderState, OrderCommand], ...]] = {
    "updateOrderStatus": ((examples.COMPLETED, UpdateStatus(order_id=_ID, status=OrderStatus.PLACED)),),
    "verifyAndAcceptOrder": (
        (examples.ACCEPTED, AcceptOrder(order_id=_ID, runner_id="runner-2")),
        (examples.CANCELLED, AcceptOrder(order_id=_ID, runner_id="runner-2")),
    ),
    "cancelOrder": ((examples.ACCEPTED, CancelOrder(order_id=_ID)),),
    "cancelAcceptance": ((examples.PLACED, CancelAcceptance(order_id=_ID)),),
    "clearRunner": (
        (examples.ACCEPTED, ClearRunner(order_id=_ID, runner_id="runner-2")),
        (examples.PLACED, ClearRunner(order_id=_ID)),
    ),
    "completeOrder": ((examples.CANCELLED, CompleteOrder(order_id=_ID)),),
}
"""By call, orders whose state does not allow what is asked."""

NOT_FOUND: Sentences = {"order_not_found": "Order not found"}
TROUBLE: Mapping[int, Sentences] = {
    500: {"internal_error": "The service made a mistake; it has been logged"},
    503: {
        "database_away": "The database is away; please try again",
        "database_busy": "The database is busy; please try again",
        "outcome_unknown": (
            "The database connection was lost; whether the change was made is not known; please try again"
        ),
    },
}
OF_A_POST: Mapping[int, Sentences] = {
    409: {"idempotency_key_in_use": "A request with this Idempotency-Key is still being worked on"},
    413: {"body_too_large": "The body must have at most 131072 bytes"},
    415: {"unsupported_media_type": "Send the body as application/json"},
    422: {"idempotency_key_reused": "This Idempotency-Key was used with another body"},
}
_OF_A_BODY: Sentences = {
    "no_data": "No data provided",
    "invalid_body": "The body must be a JSON object",
    "invalid_idempotency_key": "Idempotency-Key must be 1 to 255 printable ASCII characters",
}

_PAGE: Sentences = {
    "invalid_page": "page must be a positive whole number",
    "invalid_limit": "limit must be at most 1000",
}
OF_A_PAGE: Mapping[int, Sentences] = {**TROUBLE, 503: {**TROUBLE[503], "service_busy": pages.BUSY}}
OF_A_GET: Mapping[str, Sentences] = {
    "listOrders": {
        **_PAGE,
        "invalid_status": "Invalid status: EATEN",
        "invalid_field": "runnerId must be a text of 1 to 255 characters without NUL",
    },
    "listCustomerOrders": {
        **_PAGE,
        "invalid_field": "customer_id must be a text of 1 to 255 characters without NUL",
    },
    "getOrderDetails": {
        "missing_fields": "Missing orderId parameter",
        "invalid_field": "orderId must be a text of 1 to 255 characters without NUL",
    },
}


def of_a_post(call: str, body: type[Body]) -> dict[int, Sentences]:
    """Return the sentences of a POST by status and code."""
    bad_request = dict(_OF_A_BODY)
    for unreadable in UNREADABLE_BODIES.values():
        bad_request.update(_refused(body, unreadable))
    for unusable in UNUSABLE_BODIES[call].values():
        bad_request.update(_refused(body, encode(unusable)))
    for order, command in AGAINST_THE_RULES.get(call, ()):
        refusal = decide(order, command, examples.NOON)
        assert isinstance(refusal, Refusal)
        bad_request[refusal.code] = refusal.message
    missing: Mapping[int, Sentences] = {404: NOT_FOUND} if call in AGAINST_THE_RULES else {}
    return {400: bad_request, **missing, **OF_A_POST, **TROUBLE}


def _refused(model: type[Body], body: bytes) -> Sentences:
    try:
        fields.read(model, decode(body))
    except (Unreadable, InvalidFields) as error:
        return {error.code: clip(str(error))}
    raise AssertionError(f"{model.__name__} takes {body!r}")
