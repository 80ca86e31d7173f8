"""The orders that fuzzed commands meet, and what must hold of an order afterwards."""

from decimal import Decimal

from app.models.order import OrderState, OrderStatus
from app.wire.decoder import decode
from app.wire.encoder import encode
from tests.fuzz.checks import check_storable
from tests.unit.builders import an_order

RUNNER = "r"
SAGA = "s"
CEILING = Decimal("999.99")
ORDERS = {
    f"o{place}": an_order(status, RUNNER if status in ("ACCEPTED", "PLACED") else None, order_id=f"o{place}")
    for place, status in enumerate(OrderStatus)
}
"""One in each status, `o0` to `o7`."""
SAGAS = {SAGA: "o1"}
"""The saga that has made an order before."""

_IDS = ("order_id", "cust_id", "runner_id", "saga_id", "delivery_location", "store_location")


def check_order(order: OrderState) -> None:
    """Hold an order against its columns, and its JSON against the reader."""
    for name in _IDS:
        text = getattr(order, name)
        assert text is None or 1 <= len(text) <= 255, name
        check_storable(text)
    check_storable(order.order_description)
    check_storable(order.cancel_reason)
    for fee in (order.food_fee, order.delivery_fee):
        assert 0 <= fee <= CEILING
        assert fee == fee.quantize(Decimal("0.01"))
        assert not fee.is_signed()
    shown = decode(encode(order.to_wire()))
    assert shown["orderDescription"] == order.order_description
    assert decode(order.order_description.encode()) is not None
