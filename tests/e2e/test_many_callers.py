"""More callers at once than a process has HTTP threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from tests.faults.found import row_locked
from tests.faults.load import ORDER_DETAILS, Connection
from tests.faults.service import Instance

THREADS, CALLERS = 4, 12
ANSWER_SECONDS = 4.0
NOWHERE = "127.0.0.1:1"


def post(instance: Instance, path: str, body: object) -> tuple[tuple[int, dict[str, str]] | None, float]:
    """Return the answer and the seconds that it took."""
    started = monotonic()
    with Connection([instance.port]) as connection:
        return connection.call("POST", path, body), monotonic() - started


def test_the_time_in_which_a_request_waits_for_a_thread_is_part_of_its_4_s(database_url: str, tmp_path: Path) -> None:
    """[H1]"""
    settings = {"DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": NOWHERE, "WEB_THREADS": str(THREADS)}
    instance = Instance(tmp_path, settings)
    instance.start()
    try:
        made, _ = post(instance, "/createOrder", {"customer_id": "c", "order_details": ORDER_DETAILS})
        assert made is not None
        update = {"orderId": made[1]["order_id"], "status": "CREATED"}
        with row_locked(database_url, update["orderId"]), ThreadPoolExecutor(CALLERS) as callers:
            answers = list(callers.map(lambda _: post(instance, "/updateOrderStatus", update), range(CALLERS)))
        assert {answer and answer[0] for answer, _ in answers} == {503}
        assert max(seconds for _, seconds in answers) <= ANSWER_SECONDS
    finally:
        instance.stop()
