"""`jobs list|show|stop`: what the service does for a person, thing by thing, and for the clock."""

from dataclasses import asdict

import click

from app.cli import commands
from app.cli.arguments import ROW_ID, limit_option
from app.cli.output import Answer, changes, looks, record, table
from app.config.config import Settings
from app.operations import jobs
from app.operations.audit import Operator

MANY = 20
"""Items that a person reads; --json has all."""


@commands.group("jobs", invoke_without_command=True)
@click.pass_context
def group(context: click.Context) -> None:
    """Show what processes of the service do for a person: replays and discards of many dead letters, checks.

    A process with ROLES=all or worker does a job; when it ends, another one goes on. `dead-letters replay --job`,
    `dead-letters discard --job` and `check --job` start one.

    \b
    Examples:
      flask orders jobs
      flask orders jobs show 7
      flask orders jobs stop 7 --as alice
    """
    if context.invoked_subcommand is None:
        context.invoke(list_jobs)


@group.command("list")
@limit_option
@looks
def list_jobs(settings: Settings, limit: int) -> Answer:
    """List the jobs, the latest first.

    \b
    Examples:
      flask orders jobs list
      flask orders jobs list --limit 100 --json
    """
    found = jobs.find(settings, limit=limit)
    columns = "id, kind, state, done=progress, began=started_at, ended=ended_at, who, reason, outcome"
    return Answer({"jobs": found}, table(columns, found))


@group.command("show")
@click.argument("job_id", metavar="ID", type=ROW_ID)
@looks
def show(settings: Settings, job_id: int) -> Answer:
    """Show one job, and what came of each thing: those that failed first.

    \b
    Examples:
      flask orders jobs show 7
      flask orders jobs show 7 --json | jq '.items[] | select(.state == "failed")'
    """
    job = jobs.show(settings, job_id)
    fields = {name: value for name, value in asdict(job).items() if name not in ("items", "result", "input")}
    items = sorted(job.items, key=lambda item: (item.state != "failed", item.state != "waiting"))
    text = f"{record(fields.items())}\n\n{table('about=subject, state, what came of it=result', items[:MANY])}"
    if len(items) > MANY:
        text += f"\nAnd {len(items) - MANY} more (--json has all)."
    return Answer(job, text)


@group.command("stop")
@click.argument("job_id", metavar="ID", type=ROW_ID)
@changes
def stop(operator: Operator, job_id: int) -> Answer:
    """Stop a job. What is done stays done; the thing at hand is finished.

    \b
    Examples:
      flask orders jobs stop 7 --as alice
    """
    over = jobs.stop(operator, job_id)
    sentence = f"Job {job_id} is stopped." if over else f"Job {job_id} stops after the thing at hand."
    return Answer({"id": job_id, "over": over}, sentence)
