"""The POST calls in the documents: what each is for, its bodies and answers, and the event that tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.models.rules import ChangeKind
from tools.documents import schemas
from tools.documents.examples import CUSTOMER, ORDER_ID, RUNNER, example


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One call. `sent` are bodies, `answers` are example files, by the name that an example has in the document.

    `event` is the kind of change that the call alone makes, with what the AsyncAPI document says of its event.
    """

    tag: str = "progress"
    summary: str
    about: str
    sent: Mapping[str, Mapping[str, Any]]
    shape: type[schemas.Changed | schemas.Done] = schemas.Changed
    answers: Mapping[str, str]
    event: tuple[ChangeKind, str] | None = None


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
        tag="orders",
        summary="Make an order",
        about="The order is PENDING. Without an Idempotency-Key each call makes one more.",
        sent=_CREATES,
        shape=schemas.Done,
        answers={"created": "createOrder"},
        event=(ChangeKind.CREATED, "An order was made"),
    ),
    "testCreateOrder": Post(
        tag="orders",
        summary="Make an order with the fixed delivery fee 3.99, without an event",
        about="A delivery fee that is sent is ignored.",
        sent=_CREATES,
        shape=schemas.Done,
        answers={"created": "testCreateOrder"},
    ),
    "updateOrderStatus": Post(
        summary="Set the status; COMPLETED and CANCELLED are final",
        about=f"From any other status to any status. Back to PENDING or CREATED clears the runner. {_AGAIN}",
        sent={"placed": {**_ORDER, "status": "PLACED"}},
        answers={"updated": "updateOrderStatus"},
        event=(ChangeKind.UPDATED, "Its status was set"),
    ),
    "verifyAndAcceptOrder": Post(
        tag="runners",
        summary="A runner takes the order; of many at once one wins",
        about=f"Only from CREATED. {_AGAIN}",
        sent={"accept": {**_ORDER, "runner_id": RUNNER}},
        shape=schemas.Done,
        answers={"accepted": "verifyAndAcceptOrder"},
        event=(ChangeKind.ACCEPTED, "A runner took it"),
    ),
    "cancelOrder": Post(
        summary="The customer cancels",
        about=f"Only from CREATED. {_AGAIN}",
        sent={"cancel": _ORDER},
        answers={"cancelled": "cancelOrder"},
        event=(ChangeKind.CANCELLED, "The customer cancelled it"),
    ),
    "cancelAcceptance": Post(
        tag="runners",
        summary="The runner gives the order back",
        about=f"Only from ACCEPTED; back to CREATED, without a runner. {_AGAIN}",
        sent={"give back": _ORDER},
        answers={"given back": "cancelAcceptance"},
        event=(ChangeKind.ACCEPTANCE_CANCELLED, "Its runner gave it back"),
    ),
    "clearRunner": Post(
        tag="runners",
        summary="Take the order from its runner, or from the one named only",
        about=(
            "Only from ACCEPTED; back to CREATED. A runner whose accept was refused because another one holds the "
            "order may send this without `runner_id` next: it changes nothing then, and says `changed: false`. "
            f"{_AGAIN}"
        ),
        sent={"whoever holds it": _ORDER, "this runner only": {**_ORDER, "runner_id": RUNNER}},
        shape=schemas.Cleared,
        answers={
            "cleared": "clearRunner",
            "after a refused accept": "clearRunner_unchanged_by_a_refused_runner",
        },
        event=(ChangeKind.RUNNER_CLEARED, "It was taken from its runner"),
    ),
    "completeOrder": Post(
        summary="The order is done",
        about=f"From every status but CANCELLED. {_AGAIN}",
        sent={"complete": _ORDER},
        answers={"completed": "completeOrder"},
        event=(ChangeKind.COMPLETED, "It is done"),
    ),
}
