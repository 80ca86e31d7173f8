"""Acts: what operators did, the jobs that do it, and the last consistency check."""

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.console.blueprint import console
from app.console.helpers import act, render
from app.console.parts import parts
from app.models.jobs import CHECK
from app.operations import audit, jobs

LINES, JOBS = 50, 20


@console.get("/acts")
def acts() -> Response:
    """The latest of each. `before`: the audit lines before the one with this id; `about`: those about one subject."""
    settings, about = parts().settings, request.args.get("about") or None
    before = request.args.get("before", type=int)
    lines = audit.lines(settings, subject=about, before=before, limit=LINES + 1)
    checks = jobs.find(settings, only=CHECK, limit=2)
    return render(
        "acts",
        live="_acts",
        lines=lines[:LINES],
        older=lines[LINES - 1].id if len(lines) > LINES else None,
        about=about,
        before=before,
        jobs=jobs.find(settings, limit=JOBS),
        check=next((job for job in checks if job.is_over), None),
        checking=next((job for job in checks if not job.is_over), None),
    )


@console.post("/acts/check", endpoint="check")
def begin_check() -> AnyResponse:
    """Have everything compared that is stored, by a job; then show the job."""
    operator, reason = act()
    return redirect(url_for("console.job", job_id=jobs.start(operator, CHECK, reason=reason)), 303)


@console.get("/jobs/<int:job_id>")
def job(job_id: int) -> Response:
    """A job: how far it is, and what became of each of its things."""
    return render("job", live="_job", job=jobs.show(parts().settings, job_id))


@console.post("/jobs/<int:job_id>/stop", endpoint="stop_job")
def stop(job_id: int) -> AnyResponse:
    """Stop the job; what is done stays done."""
    operator, reason = act()
    jobs.stop(operator, job_id, reason=reason)
    return redirect(url_for("console.job", job_id=job_id), 303)
