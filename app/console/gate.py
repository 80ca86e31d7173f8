"""What each request to the console meets before its page, and what each answer has."""

import hashlib
import logging
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

from flask import Response, current_app, g, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.console import cookies, session
from app.console.blueprint import console
from app.console.helpers import is_fragment, masked, render
from app.console.parts import Refusal, parts, require, visitor
from app.models.callers import Scope
from app.models.errors import DatabaseTrouble, TokensUnverifiable, Unauthenticated
from app.models.operator_errors import DatabaseUnusable, KafkaUnusable, NotFound, NotPossible, OperationFailed
from app.operations.transaction import hurried
from app.utils.secret_files import SecretUnusable

log = logging.getLogger(__name__)

YEAR_SECONDS = 31_536_000
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'none'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
)
LOOK_LIMITS = (2, 300)  # seconds of a transaction, milliseconds of waiting for a lock
ACT_LIMITS = (5, 1000)
NO_ACTS = ("console.enter", "console.leave", "console.unmask", "console.mask")
"""What may be posted where the console is only to look at, too."""

WRONG_HOST = (
    "With CONSOLE=rw and AUTH_MODE=off the console answers at http://localhost, http://127.0.0.1 and http://[::1], and "
    "at https addresses: use one of them, or ask callers who they are (AUTH_MODE)."
)
_STATUS = {NotFound: 404, NotPossible: 409, DatabaseUnusable: 503, KafkaUnusable: 503}
_NAV = (
    ("board", "Board"),
    ("waits", "Waits"),
    ("commands", "Commands"),
    ("outbox", "Outbox"),
    ("instances", "Instances"),
    ("database", "Database"),
    ("flow", "Flow"),
    ("acts", "Acts"),
)


@console.before_request
def begin() -> AnyResponse | None:
    """Say who looks, and refuse what does not come from a page of the console itself."""
    g.same_origin_only = True
    if request.method not in ("GET", "HEAD", "POST"):
        raise Refusal(405, "The console takes GET and POST.")
    if request.method == "POST":
        _refuse_foreign()
    if request.endpoint in session.PUBLIC:
        return None
    _refuse_misdirected()
    try:
        g.visitor = session.who()
    except Unauthenticated as why:
        return session.to_sign_in(str(why))
    g.request.caller = visitor().name
    require(Scope.READ)
    if request.method == "POST" and request.endpoint not in NO_ACTS and not parts().writes:
        raise Refusal(403, "The console is read-only here: CONSOLE=rw allows acts.")
    g.hurry = ExitStack()
    g.hurry.enter_context(hurried(*(ACT_LIMITS if request.method == "POST" else LOOK_LIMITS)))
    return None


@console.teardown_request
def end(_: BaseException | None) -> None:
    """Let others take their time."""
    hurry = g.pop("hurry", None)
    if hurry is not None:
        hurry.close()


@console.after_request
def finish(response: Response) -> Response:
    """Add what each answer has; browsers keep only files whose address has their version."""
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if request.endpoint == "console.static" and response.status_code in (200, 304):
        response.cache_control.clear()
        response.cache_control.max_age = YEAR_SECONDS
        response.cache_control.immutable = True
    return response


@console.errorhandler(Refusal)
def refused(refusal: Refusal) -> Response:
    """A page with the sentence."""
    return _error(refusal.status, str(refusal))


@console.errorhandler(OperationFailed)
def failed(failure: OperationFailed) -> Response:
    """A page with the sentence of the operation."""
    status = next((status for kind, status in _STATUS.items() if isinstance(failure, kind)), 400)
    return _error(status, str(failure))


@console.errorhandler(DatabaseTrouble)
@console.errorhandler(TokensUnverifiable)
@console.errorhandler(SecretUnusable)
def in_trouble(trouble: Exception) -> Response:
    """A page with the reason."""
    return _error(503, f"{getattr(trouble, 'reason', trouble)}.")


@console.errorhandler(Exception)
def broken(error: Exception) -> Response:
    """A page that says so; the log has the rest."""
    log.error("the console failed at %s", request.path, exc_info=error)
    return _error(500, "The console itself failed here: the log has a line with this correlation id.")


@console.context_processor
def shared() -> dict[str, object]:
    """What every template may use."""
    known = g.get("visitor")
    return {
        "visitor": known,
        "can_act": known is not None and parts().writes and known.may(Scope.OPERATOR),
        "writes": parts().writes,
        "signs_in": parts().sign_in is not None,
        "masked": masked,
        "unmasked": g.get("unmasked", False),
        "nav": _nav(),
        "page": request.full_path.rstrip("?"),
        "here": request.script_root + request.full_path.rstrip("?"),
        "static": static,
        "view_functions": current_app.view_functions,
    }


def _refuse_misdirected() -> None:
    """Raise Refusal where anybody may act and the address is not the machine's own, nor one that a certificate proves.

    Otherwise a page of another site could have its own name lead to this machine (DNS rebinding), and would then be of
    the same origin as the console.
    """
    if parts().writes and parts().sign_in is None and not cookies.is_private():
        raise Refusal(421, WRONG_HOST)


def _refuse_foreign() -> None:
    """Raise Refusal unless a page of the console sent the form.

    The browser says so itself (`Sec-Fetch-Site`), and no page of another site can. With that, and with cookies that
    another site's request does not carry (`SameSite=Strict`), a token in each form would add nothing.
    """
    if request.headers.get("Sec-Fetch-Site") != "same-origin":
        sentence = "" if cookies.is_private() else f" {cookies.HTTPS_NEEDED}"
        raise Refusal(403, f"The browser does not say that a page of this console sent the form.{sentence}")
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise Refusal(403, "A page of another address sent the form.")


def _error(status: int, sentence: str) -> Response:
    if is_fragment():
        return Response(sentence, status, content_type="text/plain; charset=utf-8")
    response = render("error", status, sentence=sentence, status=status)
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response


def _nav() -> list[tuple[str, str, bool]]:
    """Return address and name of each page that is there, and whether it is the one that is shown."""
    return [
        (url_for(f"console.{name}"), shown, request.endpoint == f"console.{name}")
        for name, shown in _NAV
        if f"console.{name}" in current_app.view_functions
    ]


def static(name: str) -> str:
    """Return the address of a file; it changes with the file."""
    return url_for("console.static", filename=name, v=_version(name))


@lru_cache(maxsize=32)
def _version(name: str) -> str:
    return hashlib.sha256((Path(__file__).with_name("static") / name).read_bytes()).hexdigest()[:12]
