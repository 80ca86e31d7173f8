"""`recount`: counts that were damaged are right again, and somebody signed for it."""

from collections.abc import Callable

from tests.cli.test_orders import an_order
from tests.harness.terminal import Terminal
from tests.harness.world import World

Make = Callable[[World], Terminal]


def test_counts_that_are_wrong_are_counted_anew(untouched: World, terminal: Make) -> None:
    for minute in range(3):
        an_order(untouched, f"order-{minute}", minute)
    untouched.query("INSERT INTO order_counts VALUES ('status', 'CREATED', 7), ('customer', 'nobody', 2)")
    assert "The number of orders of a list is wrong" in terminal(untouched).run("check").stdout
    assert terminal(untouched).prints("recount", "--yes", "--as", "alice") == "Counted 3 orders.\n"
    assert terminal(untouched).json("check")["findings"] == []
    (line,) = untouched.query("SELECT who, action, detail FROM operator_actions")
    assert line == ("alice", "recount", "3 orders")
