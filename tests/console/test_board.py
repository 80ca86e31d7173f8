"""The board costs the same however many orders there are: by its plans."""

import re

from flask import Flask
from sqlalchemy import Connection, text

from app.operations import board
from app.operations.transaction import transaction

INDEX = "ix_orders_order_status_created_at_order_id"


def plan(connection: Connection, query: str, **values: object) -> str:
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    return "\n".join(row[0] for row in connection.execute(text(f"EXPLAIN {query}"), values))


def test_the_oldest_and_the_newest_order_of_a_status_are_steps_into_its_index(looking: Flask) -> None:
    with transaction(looking.extensions["settings"]) as connection:
        found = plan(connection, str(board._STATUSES), statuses=["PENDING"])
    assert re.findall(r"Index Only Scan (Backward )?using (\w+) on orders", found) == [
        ("", INDEX),
        ("Backward ", INDEX),
    ]
    assert found.count("Index Cond: (ROW(order_status, created_at)") == 2


def test_the_newest_changes_are_the_end_of_their_table(looking: Flask) -> None:
    with transaction(looking.extensions["settings"]) as connection:
        found = plan(connection, str(board._CHANGES), place="(0,0)", newest=15)
    assert "Tid Range Scan on order_changes" in found


def test_a_board_without_orders_has_every_status(looking: Flask) -> None:
    found = board.board(looking.extensions["settings"])
    assert found.statuses[0].status == "PENDING"
    assert found.orders == sum(line.orders for line in found.statuses)
