"""Dead letters of one cause: judged before anything is done with them, and done by a job with exactly these ids."""

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.console.blueprint import console
from app.console.helpers import act, render
from app.console.parts import parts
from app.console.records import chosen
from app.models.jobs import DISCARD, REPLAY
from app.operations import dead_letter_groups, dead_letters, jobs
from app.operations.judge import judge


@console.get("/letters/<group_id>")
def letters(group_id: str) -> Response:
    """The letters of the group as of now. `judge`: also what each would do if it was sent again."""
    settings = parts().settings
    ids, more = dead_letter_groups.frozen(settings, group_id)
    known = {one.id: one for one in dead_letters.find(settings, limit=dead_letter_groups.MOST_LETTERS)}
    judged = {one.id: one for one in judge(settings, ids)} if "judge" in request.args else {}
    return render(
        "letters",
        group_id=group_id,
        found=[known[one] for one in ids if one in known],
        more=more,
        judged=judged,
    )


@console.post("/letters/replay", endpoint="replay_letters")
def replay() -> AnyResponse:
    """Send exactly these again, by a job; then show the job."""
    return _begin(REPLAY)


@console.post("/letters/discard", endpoint="discard_letters")
def discard() -> AnyResponse:
    """Discard exactly these, by a job; then show the job."""
    return _begin(DISCARD)


def _begin(kind: str) -> AnyResponse:
    operator, reason = act()
    job_id = jobs.start(operator, kind, chosen(request.form), reason=reason)
    return redirect(url_for("console.job", job_id=job_id), 303)
