"""More callers at once than the service has database connections, all of one order that somebody holds."""

from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from app.utils.limits import LOCK_MS
from tests.harness.found import row_locked
from tests.harness.load import ORDER_DETAILS, Connection
from tests.harness.service import Instance

CALLERS = 100
ANSWER_SECONDS = 4.0
SOON = LOCK_MS / 1000  # who waits behind the others waits for longer


def ask(service: Instance, method: str, path: str, body: object = None) -> tuple[int | None, float]:
    """Return the status and the seconds that it took."""
    started = monotonic()
    with Connection([service.port]) as connection:
        answer = connection.call(method, path, body)
    return answer and answer[0], monotonic() - started


def test_each_is_answered_in_time_and_strangers_at_once(service: Instance) -> None:
    """[H1] [H2]"""
    with Connection([service.port]) as connection:
        made = connection.call("POST", "/createOrder", {"customer_id": "c", "order_details": ORDER_DETAILS})
    assert made is not None
    update = {"orderId": made[1]["order_id"], "status": "CREATED"}
    with row_locked(service.settings["DATABASE_URL"], update["orderId"]), ThreadPoolExecutor(CALLERS) as callers:
        asked = [callers.submit(ask, service, "POST", "/updateOrderStatus", update) for _ in range(CALLERS)]
        strangers = [ask(service, "GET", path) for path in ("/health", "/livez", "/readyz")]
        answers = [one.result() for one in asked]
    assert {status for status, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) <= ANSWER_SECONDS
    assert {status for status, _ in strangers} == {200}
    assert max(seconds for _, seconds in strangers) < SOON
