"""The board: orders by status with their age, the newest changes, and what rings."""

from flask import Response, current_app

from app.console.blueprint import console
from app.console.helpers import render
from app.console.parts import parts
from app.operations import board as operation


@console.get("")
@console.get("/", endpoint="board_too")
def board() -> Response:
    """The first page."""
    found = operation.board(parts().settings)
    return render("board", live="_board", board=found, alarms=current_app.extensions["alarms"].open())
