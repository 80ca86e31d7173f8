"""What pages share: rendering, the reason of an act, what is masked."""

from typing import Any

from flask import Response, g, make_response, render_template, request

from app.console.parts import Refusal, parts, require, visitor
from app.models.callers import Scope
from app.operations.audit import Operator

SHORTEST_REASON, LONGEST_REASON = 3, 500
MASK = "…"
UNMASKED_LETTERS = 2


def is_fragment() -> bool:
    """Tell whether htmx asks, which wants the part of the page that it refreshes."""
    return "HX-Request" in request.headers


def render(page: str, code: int = 200, *, live: str | None = None, **values: Any) -> Response:
    """Return the page `console/PAGE.html`; to htmx only its live part, `console/LIVE.html`.

    What has not changed since htmx asked last is answered 304.
    """
    if live is None or not is_fragment():
        if g.get("visitor") is not None:
            values["lights"] = parts().strip.lights()
        return make_response(render_template(f"console/{page}.html", **values), code)
    response = make_response(render_template(f"console/{live}.html", **values), code)
    response.add_etag()
    response.make_conditional(request)
    return response


def act() -> tuple[Operator, str]:
    """Return who acts and the reason, which every act needs. Raises Refusal.

    That acts are possible here at all, and that the form is the console's own, was looked at before.
    """
    require(Scope.OPERATOR)
    reason = " ".join(request.form.get("reason", "").split())
    if not SHORTEST_REASON <= len(reason) <= LONGEST_REASON or not reason.isprintable():
        raise Refusal(
            400, f"Give a reason of {SHORTEST_REASON} to {LONGEST_REASON} characters: it stands in the audit."
        )
    return Operator(parts().settings, visitor().name), reason


def masked(value: str | None) -> str:
    """Return an id of a person, or an address, as this page may show it."""
    if not value or g.get("unmasked"):
        return value or "–"
    return value[:UNMASKED_LETTERS] + MASK
