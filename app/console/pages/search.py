"""Search by any id."""

from flask import current_app, redirect, request, url_for
from werkzeug.wrappers import Response

from app.console.blueprint import console
from app.console.helpers import render
from app.console.parts import parts
from app.operations import search as operation
from app.operations.search import Found

MOST = 20


@console.get("/search")
def search() -> Response:
    """What has the id that was asked for; the page of the order itself where it is the id of one."""
    text = request.args.get("q", "").strip()
    if not text:
        return render("search", text="", found=None)
    found = operation.search(parts().settings, text, limit=MOST)
    if _is_one_order(found, text) and "console.order" in current_app.view_functions:
        return redirect(url_for("console.order", order_id=text), 303)
    return render("search", text=text, found=found)


def _is_one_order(found: Found, text: str) -> bool:
    return len(found.orders) == 1 and found.orders[0].order_id == text
