"""`check` and `recount`: does everything that is stored agree, and the numbers of the lists anew where they do not."""

import click

from app.cli import commands
from app.cli.arguments import SECONDS, confirm, yes_option
from app.cli.output import Answer, changes, printable
from app.models.jobs import CHECK
from app.operations import check as operations
from app.operations import jobs
from app.operations.audit import Operator
from app.operations.check_job import check_input

BEGIN_SECONDS = 600
"""For how long a job that checks may wait for a process."""


@commands.command("check")
@click.option("--late", type=SECONDS, default=60, show_default=True, help="Seconds after which an unsent row is late.")
@click.option("--deadline", type=SECONDS, default=120, show_default=True, help="Seconds that the reading may take.")
@click.option("--job", "as_job", is_flag=True, help="Let a process of the service do it, and keep what it finds.")
@changes
def check(operator: Operator, late: int, deadline: int, as_job: bool) -> Answer:
    """Compare all that is stored, and say what is wrong.

    That is orders, history, outbox, sagas, counts, dead letters, and the offsets with the log. What keeps commands
    or events waiting is said too: open alarms of the service, and what the broker tells.

    Exit code 1 when something is. It only reads, at one instant, while the service runs; where the broker or
    the topic is away, the offsets are left out and that is said.

    The service checks each night at CHECK_AT. What such a check or a job finds rings the alarm `check`, until another
    one finds nothing.

    \b
    Examples:
      flask orders check
      flask orders check --job
      flask orders check --deadline 600 --json | jq '.findings[].check'
    """
    if as_job:
        given = check_input(late, deadline)
        job_id = jobs.start(operator, CHECK, reason="by hand", given=given, deadline_seconds=deadline + BEGIN_SECONDS)
        return Answer({"job": job_id}, f"Job {job_id} checks: flask orders jobs show {job_id}.")
    report = operations.check(operator.settings, late_seconds=late, deadline_seconds=deadline)
    lines = [printable(line) for line in (*report.findings, *report.notes)]
    if report.ok:
        lines.append("Nothing is wrong.")
    lines.append(f"Compared: {', '.join(f'{rows} {table}' for table, rows in report.compared.items())}.")
    return Answer(report, "\n".join(lines), exit_code=0 if report.ok else 1)


@commands.command("recount")
@click.option("--deadline", type=SECONDS, default=120, show_default=True, help="Seconds that it may take.")
@yes_option
@changes
def recount(operator: Operator, deadline: int, yes: bool) -> Answer:
    """Count all orders anew, where `check` says that the counts are wrong.

    Nobody can write an order meanwhile: some seconds per million orders. The database user needs EXECUTE on
    recount_orders(), as migrations/grants.sql gives it.

    \b
    Examples:
      flask orders recount
      flask orders recount --yes --as alice
    """
    confirm("Orders cannot be written while they are counted. Go on?", yes=yes)
    counted = operations.recount(operator, deadline_seconds=deadline)
    return Answer({"orders": counted}, f"Counted {counted} orders.")
