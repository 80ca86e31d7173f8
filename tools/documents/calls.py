"""The POST calls of the OpenAPI document: what each is for, its bodies and its answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.wire import bodies
from tools.documents import schemas
from tools.documents.examples import CUSTOMER, ORDER_ID, RUNNER, example


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One call. `sent` are bodies, `answers` are example files, by the name that an example has in the document."""

    summary: str
    about: str
    body: type[bodies.Body]
    sent: Mapping[str, Mapping[str, Any]]
    shape: type[schemas.Changed | schemas.Done]
    answers: Mapping[str, str]
    status: int = 200


_ORDER: Mapping[str, Any] = {"orderId": ORDER_ID}
_NUMBERS = example("kafka/create_order")["payload"]["order_details"]
_TEXTS = {
    "foodItems": [{"item_name": "Soup", "price": "4.20", "quantity": "1", "spicy": True}],
    "deliveryLocation": "Library",
}
_CREATES: Mapping[str, Mapping[str, Any]] = {
    "numbers": {"customer_id": CUSTOMER, "order_details": _NUMBERS},
    "numeric text": {"customer_id": CUSTOMER, "order_details": _TEXTS},
}
_AGAIN = "Asking for what is already so is a success without a change."

POSTS: Mapping[str, Post] = {
    "createOrder": Post(
        summary="Make an order",
        about="The order is PENDING. Without an Idempotency-Key each call makes one more.",
        body=bodies.CreateOrderBody,
        sent=_CREATES,
        shape=schemas.Done,
        answers={"created": "createOrder"},
        status=201,
    ),
    "testCreateOrder": Post(
        summary="Make an order with the fixed delivery fee 3.99, without an event",
        about="A delivery fee that is sent is ignored.",
        body=bodies.CreateTestOrderBody,
        sent=_CREATES,
        shape=schemas.Done,
        answers={"created": "testCreateOrder"},
        status=201,
    ),
    "updateOrderStatus": Post(
        summary="Set the status; COMPLETED and CANCELLED are final",
        about=f"From any other status to any status. Back to PENDING or CREATED clears the runner. {_AGAIN}",
        body=bodies.UpdateStatusBody,
        sent={"placed": {**_ORDER, "status": "PLACED"}},
        shape=schemas.Changed,
        answers={"updated": "updateOrderStatus"},
    ),
    "verifyAndAcceptOrder": Post(
        summary="A runner takes the order; of many at once one wins",
        about=f"Only from CREATED. {_AGAIN}",
        body=bodies.AcceptOrderBody,
        sent={"accept": {**_ORDER, "runner_id": RUNNER}},
        shape=schemas.Done,
        answers={"accepted": "verifyAndAcceptOrder"},
    ),
    "cancelOrder": Post(
        summary="The customer cancels",
        about=f"Only from CREATED. {_AGAIN}",
        body=bodies.CancelOrderBody,
        sent={"cancel": _ORDER},
        shape=schemas.Changed,
        answers={"cancelled": "cancelOrder"},
    ),
    "cancelAcceptance": Post(
        summary="The runner gives the order back",
        about=f"Only from ACCEPTED; back to CREATED, without a runner. {_AGAIN}",
        body=bodies.CancelAcceptanceBody,
        sent={"give back": _ORDER},
        shape=schemas.Changed,
        answers={"given back": "cancelAcceptance"},
    ),
    "clearRunner": Post(
        summary="Take the order from its runner, or from the one named only",
        about=(
            "Only from ACCEPTED; back to CREATED. A runner whose accept was refused because another one holds the "
            "order may send this without `runner_id` next: it changes nothing then, and says `changed: false`. "
            f"{_AGAIN}"
        ),
        body=bodies.ClearRunnerBody,
        sent={"whoever holds it": _ORDER, "this runner only": {**_ORDER, "runner_id": RUNNER}},
        shape=schemas.Cleared,
        answers={
            "cleared": "clearRunner",
            "after a refused accept": "clearRunner_unchanged_by_a_refused_runner",
        },
    ),
    "completeOrder": Post(
        summary="The order is done",
        about=f"From every status but CANCELLED. {_AGAIN}",
        body=bodies.CompleteOrderBody,
        sent={"complete": _ORDER},
        shape=schemas.Changed,
        answers={"completed": "completeOrder"},
    ),
}
