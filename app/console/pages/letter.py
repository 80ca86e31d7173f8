"""One dead letter: what it is, what it would do, and a mended copy in its place."""

from flask import Response, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.console.blueprint import console
from app.console.helpers import act, render
from app.console.parts import Refusal, parts, require
from app.console.records import text_of
from app.models.callers import Scope
from app.models.operator_errors import NotPossible
from app.operations import dead_letters
from app.operations.judge import judge, judge_bytes
from app.operations.resend import mend
from app.wire.decoder import MAX_BYTES


@console.get("/letter/<int:letter_id>")
def letter(letter_id: int) -> Response:
    """The letter; its bytes are for those who may see persons, because nobody knows what its sender wrote."""
    return _page(letter_id)


@console.post("/letter/<int:letter_id>/judge")
def judge_copy(letter_id: int) -> Response:
    """Show what a mended copy would do. Changes nothing."""
    require(Scope.OPERATOR)
    return _page(letter_id, copy=_copy())


@console.post("/letter/<int:letter_id>/mend")
def mend_letter(letter_id: int) -> AnyResponse:
    """Send the mended copy in place of the letter; then show the letter with the place."""
    operator, reason = act()
    copy = _copy()
    try:
        mend(operator, letter_id, copy.encode(), reason=reason)
    except NotPossible as refusal:
        return _page(letter_id, copy=copy, refused=str(refusal))
    return redirect(url_for("console.letter", letter_id=letter_id), 303)


def _page(letter_id: int, *, copy: str | None = None, refused: str = "") -> Response:
    settings = parts().settings
    found = dead_letters.show(settings, letter_id)
    verdict = judge_bytes(settings, found.key, copy.encode()) if copy is not None else None
    return render(
        "letter",
        409 if refused else 200,
        letter=found.record,
        judged=judge(settings, [letter_id])[0],
        key=text_of(found.key) if g.get("unmasked") else None,
        value=text_of(found.value) if g.get("unmasked") else None,
        copy=copy,
        verdict=verdict,
        refused=refused,
    )


def _copy() -> str:
    """Return the bytes that were typed. A form has its line breaks as CR LF, and JSON takes either."""
    copy = request.form.get("copy", "")
    if not copy.strip() or len(copy.encode()) > MAX_BYTES:
        raise Refusal(400, f"Give a copy of 1 to {MAX_BYTES} bytes.")
    return copy
