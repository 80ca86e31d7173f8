"""Who looks: by the cookie of a sign-in, or anybody where nobody is asked."""

from dataclasses import asdict
from typing import Any

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.console import cookies
from app.console.blueprint import console
from app.console.helpers import render
from app.console.parts import Refusal, Visitor, parts
from app.models.errors import DatabaseTrouble, TokensUnverifiable, Unauthenticated
from app.services.sign_in import SESSION_SECONDS, Session

COOKIE = "session"
LONGEST_CREDENTIAL = 8192
PUBLIC = ("console.static", "console.sign_in", "console.enter")


def who() -> Visitor:
    """Return the visitor. Raises Unauthenticated where there is no session or it is over, and DatabaseTrouble."""
    sign_in = parts().sign_in
    if sign_in is None:
        return Visitor()
    found = cookies.read(COOKIE)
    if found is None:
        raise Unauthenticated("", came=False)
    return Visitor(sign_in.caller(_session(found)))


def to_sign_in(why: str) -> AnyResponse:
    """Send the browser to the page of the sign-in. A fragment that htmx asks for sends the whole page there."""
    place = url_for("console.sign_in", next=_here(), why=why or None)
    if "HX-Request" in request.headers:
        return Response(status=401, headers={"HX-Redirect": place})
    response = redirect(place, 303)
    cookies.drop(response, COOKIE)
    return response


@console.get("/sign-in")
def sign_in() -> Response:
    """Ask for a credential."""
    return _ask(request.args.get("why", "")[:200])


@console.post("/sign-in")
def enter() -> AnyResponse:
    """Begin a session, or say why not."""
    credential = request.form.get("credential", "").strip()
    ways = parts().sign_in
    if ways is None:
        return redirect(url_for("console.board"), 303)
    if not cookies.is_private():
        raise Refusal(400, cookies.HTTPS_NEEDED)
    if not credential.isascii() or not 0 < len(credential) <= LONGEST_CREDENTIAL:
        return _ask(f"Paste {ways.takes}.", 400)
    try:
        session = ways.begin(credential)
    except Unauthenticated as refusal:
        return _ask(f"{refusal}.", 401)
    except (DatabaseTrouble, TokensUnverifiable) as trouble:
        return _ask(f"{trouble}.", 503)
    response = redirect(_after(), 303)
    content = {name: value for name, value in asdict(session).items() if value}
    cookies.write(response, COOKIE, content, SESSION_SECONDS)
    return response


@console.post("/sign-out")
def leave() -> AnyResponse:
    """End the session of this browser."""
    response = redirect(url_for("console.sign_in", why="You are signed out."), 303)
    cookies.drop(response, COOKIE)
    return response


def _ask(why: str, status: int = 200) -> Response:
    ways = parts().sign_in
    return render(
        "sign_in",
        status,
        why=why,
        takes=ways.takes if ways else "",
        next=request.values.get("next", ""),
        https_needed="" if cookies.is_private() else cookies.HTTPS_NEEDED,
        came_from_elsewhere=request.headers.get("Sec-Fetch-Site") == "cross-site",
    )


def _session(found: dict[str, Any]) -> Session:
    try:
        return Session(**{**found, "scopes": tuple(found.get("scopes", ()))})
    except TypeError:
        raise Unauthenticated("The session is of another version: sign in again") from None


def _here() -> str | None:
    """Return the path of a page, to come back to; None where it is not one to look at."""
    return request.full_path.rstrip("?") if request.method == "GET" else None


def page_of_form() -> str | None:
    """Return the page of the console that a form names in `next`, None where it names something else."""
    wanted = request.form.get("next", "")
    is_ours = wanted.partition("?")[0].rstrip("/") == "/console" or wanted.startswith("/console/")
    return wanted if is_ours and wanted.isascii() and wanted.isprintable() else None


def _after() -> str:
    page = page_of_form()
    return url_for("console.board") if page is None else request.script_root + page
