"""The trace that a caller names in `traceparent` stands in the history, by whatever statement the change is written."""

import pytest

from tests.contract.conftest import Tables
from tests.harness.builders import Caller, create_body, unique

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("with_key", [False, True])
def test_the_trace_of_a_call_is_in_the_history(
    api: Caller, loop_api: Caller, tables: Tables, *, with_key: bool
) -> None:
    for caller in (api, loop_api):
        keys = [{"Idempotency-Key": unique()} if with_key else {} for _ in range(3)]
        made = caller.post("/createOrder", create_body(), traceparent=TRACE, **keys[0])
        order_id = made.json["order_id"]
        for status, key, trace in (("CREATED", keys[1], TRACE), ("PLACED", keys[2], TRACE.upper())):
            body = {"orderId": order_id, "status": status}
            assert caller.post("/updateOrderStatus", body, traceparent=trace, **key).status_code == 200
        assert [line["traceparent"] for line in tables.changes(order_id)] == [TRACE, TRACE, None]


def test_a_call_without_a_trace_has_none(api: Caller, loop_api: Caller, tables: Tables) -> None:
    for caller in (api, loop_api):
        made = caller.post("/createOrder", create_body())
        [line] = tables.changes(made.json["order_id"])
        assert line["traceparent"] is None
