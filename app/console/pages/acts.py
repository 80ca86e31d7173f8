"""Acts: what operators did, the jobs that do it, and the last consistency check."""

from dataclasses import replace

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.console.asked import asked
from app.console.blueprint import console
from app.console.helpers import act, render
from app.console.parts import Refusal, parts
from app.models.drills import DrillName
from app.models.jobs import CHECK, DRILL
from app.operations import audit, jobs
from app.operations.drill_job import drill_input
from app.operations.drills import WHAT

LINES, JOBS = 50, 20
DRILL_SECONDS = 600
"""Until when a drill must have begun and ended."""


@console.get("/acts")
def acts() -> Response:
    """The latest of each. `before`: the audit lines before the one with this id; `about`: those about one subject."""
    settings, about = parts().settings, request.args.get("about") or None
    before = request.args.get("before", type=int)
    told = asked(lambda: audit.lines(settings, subject=about, before=before, limit=LINES + 1))
    lines = told.found or []
    newest = jobs.find(settings, limit=JOBS)
    checks = [job for job in newest if job.kind == CHECK]
    if not any(job.is_over for job in checks):
        checks = jobs.find(settings, only=CHECK, limit=2)
    return render(
        "acts",
        live="_acts",
        lines=lines[:LINES],
        trouble=told.trouble,
        older=lines[LINES - 1].id if len(lines) > LINES else None,
        about=about,
        before=before,
        jobs=newest,
        drills=WHAT if settings.drills else {},
        check=next((job for job in checks if job.is_over), None),
        checking=next((job for job in checks if not job.is_over), None),
    )


@console.post("/acts/check", endpoint="check")
def begin_check() -> AnyResponse:
    """Have everything compared that is stored, by a job; then show the job."""
    operator, reason = act()
    return redirect(url_for("console.job", job_id=jobs.start(operator, CHECK, reason=reason)), 303)


@console.post("/acts/drill", endpoint="drill")
def begin_drill() -> AnyResponse:
    """Have a fault made on purpose, by a job; then show the job."""
    operator, reason = act()
    name = request.form.get("name", "")
    if not parts().settings.drills or name not in list(DrillName):
        raise Refusal(400, "There is no such drill here.")
    given = drill_input(operator.name, reason)
    job_id = jobs.start(operator, DRILL, [name], reason=reason, given=given, deadline_seconds=DRILL_SECONDS)
    return redirect(url_for("console.job", job_id=job_id), 303)


@console.get("/jobs/<int:job_id>")
def job(job_id: int) -> Response:
    """A job: how far it is, and what became of each of its things."""
    return render("job", live="_job", job=jobs.show(parts().settings, job_id))


@console.post("/jobs/<int:job_id>/stop", endpoint="stop_job")
def stop(job_id: int) -> AnyResponse:
    """Stop the job; what is done stays done."""
    operator, reason = act()
    jobs.stop(replace(operator, reason=reason), job_id)
    return redirect(url_for("console.job", job_id=job_id), 303)
