"""The trace that a caller names in `traceparent` stands in history and outbox, whatever statement writes them."""

import pytest

from tests.contract.conftest import Tables
from tests.harness.builders import Caller, create_body, unique

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = f"00-{'ab' * 16}-{'cd' * 8}-00"


@pytest.mark.parametrize("with_key", [False, True])
def test_the_trace_of_a_call_is_in_the_history_and_the_outbox(
    api: Caller, loop_api: Caller, tables: Tables, *, with_key: bool
) -> None:
    for caller in (api, loop_api):
        keys = [{"Idempotency-Key": unique()} if with_key else {} for _ in range(3)]
        made = caller.post("/createOrder", create_body(), traceparent=TRACE, **keys[0])
        order_id = made.json["order_id"]
        for status, key, trace in (("CREATED", keys[1], TRACE), ("PLACED", keys[2], TRACE.upper())):
            body = {"orderId": order_id, "status": status}
            assert caller.post("/updateOrderStatus", body, traceparent=trace, **key).status_code == 200
        for lines in (tables.changes(order_id), tables.events(order_id)):
            assert [line["traceparent"] for line in lines] == [TRACE, TRACE, None]


def test_an_answer_that_is_given_again_leaves_the_trace_of_the_first_call(
    api: Caller, loop_api: Caller, tables: Tables
) -> None:
    """[K16]"""
    for caller in (api, loop_api):
        body, key = create_body(), {"Idempotency-Key": unique()}
        made = [caller.post("/createOrder", body, traceparent=trace, **key).json for trace in (TRACE, OTHER, "")]
        assert made == made[:1] * 3
        assert [event["traceparent"] for event in tables.events(made[0]["order_id"])] == [TRACE]


def test_a_call_without_a_trace_has_none(api: Caller, loop_api: Caller, tables: Tables) -> None:
    for caller in (api, loop_api):
        made = caller.post("/createOrder", create_body())
        [line] = tables.changes(made.json["order_id"])
        assert line["traceparent"] is None
        [event] = tables.events(made.json["order_id"])
        assert event["traceparent"] is None
