"""Names of persons and addresses on one page, for some minutes, for a reason that stands in the audit."""

import time
from datetime import UTC, datetime
from typing import Any

from flask import g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from app.console import cookies
from app.console.blueprint import console
from app.console.helpers import act
from app.console.parts import Refusal, visitor
from app.console.session import page_of_form

COOKIE = "unmask"
MINUTES = 5


@console.before_request
def see() -> None:
    """Show this page as it is where its visitor asked for it a moment ago."""
    if g.get("visitor") is None or cookies.name(COOKIE) not in request.cookies:
        return
    granted = cookies.read(COOKIE) or {}
    if (granted.get("who"), granted.get("path")) == (visitor().name, request.path):
        until = float(granted.get("until", 0))
        g.unmasked = until > time.time()
        g.unmasked_until = datetime.fromtimestamp(until, UTC)


@console.post("/unmask")
def unmask() -> AnyResponse:
    """Note who asks to see the persons of a page and why; then show them there."""
    operator, reason = act()
    page = page_of_form()
    if page is None:
        raise Refusal(400, "The form does not say which page is meant.")
    path = page.partition("?")[0]
    with operator.change("show-persons", 2) as change:
        change.record(f"page {path}", reason)
    content: dict[str, Any] = {"who": operator.name, "path": path, "until": time.time() + MINUTES * 60}
    response = redirect(request.script_root + page, 303)
    cookies.write(response, COOKIE, content, MINUTES * 60)
    return response


@console.post("/mask")
def mask() -> AnyResponse:
    """Mask everything again."""
    response = redirect(request.script_root + (page_of_form() or "/console"), 303)
    cookies.drop(response, COOKIE)
    return response
