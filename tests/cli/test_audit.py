"""`audit`: what operators did, whoever asks."""

from collections.abc import Callable

from tests.harness.terminal import Terminal
from tests.harness.world import World

A_LINE = "INSERT INTO operator_actions (who, action, subject, detail, bytes) VALUES ('alice', %s, %s, %s, %s)"


def test_the_latest_lines_come_first_and_older_ones_on_demand(
    untouched: World, terminal: Callable[[World], Terminal]
) -> None:
    assert terminal(untouched).prints("audit") == "Nothing.\n"
    untouched.query(A_LINE, ("replay", "dead letter 7", "sent again", None))
    untouched.query(A_LINE, ("discard", "dead letter 8", "refused", b"four"))
    both = terminal(untouched).json("audit")["audit"]
    assert [(line["subject"], line["kept_bytes"]) for line in both] == [("dead letter 8", 4), ("dead letter 7", None)]
    older = terminal(untouched).json("audit", "--before", both[0]["id"])["audit"]
    assert older == both[1:]
    assert terminal(untouched).json("audit", "--limit", 1)["audit"] == both[:1]
    assert terminal(untouched).json("audit", "--about", "dead letter 7")["audit"] == both[1:]
    assert "sent again" in terminal(untouched).prints("audit", "--about", "dead letter 7")
