"""`drill`: a fault made on purpose, and how the service gets over it."""

import click

from app.cli import commands
from app.cli.arguments import ID, confirm, yes_option
from app.cli.output import Answer, changes
from app.models.drills import DrillName
from app.operations import drills as operations
from app.operations.audit import Operator


@commands.command("drill")
@click.argument("name", type=click.Choice([name.value for name in DrillName]))
@click.option("--reason", type=ID, required=True, help="Why; the audit line has it.")
@yes_option
@changes
def drill(operator: Operator, name: str, reason: str, yes: bool) -> Answer:
    """Make a fault on purpose, and see the service get over it.

    `leader`: the leader of the events' lane steps down. `dead-letter-leader`: that of the other lane, and an unreadable
    record comes. `consumer`: a consumer leaves its group and joins it again. `sessions`: the service's sessions in
    PostgreSQL are ended. `instance`: a worker gets SIGTERM. `records`: an unreadable record comes, and a command that
    comes twice.

    Needs DRILLS=1 for the service and for this command. Nothing may be wrong before. Afterwards an order of the
    customer drill-canary is made and cancelled by commands, and everything is compared. Exit code 1 if `check` finds
    something then.

    \b
    Examples:
      DRILLS=1 flask orders drill leader --reason 'before the release'
      DRILLS=1 flask orders drill sessions --reason training --yes --json | jq .quiet_seconds
    """
    chosen = DrillName(name)
    confirm(f"Drill: {operations.WHAT[chosen]}. Go on?", yes=yes)
    report = operations.drill(operator, chosen, reason=reason)
    lines = [
        f"Drill {name}: {operations.WHAT[chosen]}.",
        f"Taken by {report.taken_by}: {report.acted}.",
        f"Quiet after {report.quiet_seconds:.1f} s.",
        f"Order {report.canary.order_id} went through in {report.canary.seconds:.1f} s.",
        report.wrong or "Nothing is wrong.",
        f"Audit line {report.line}.",
    ]
    return Answer(report, "\n".join(lines), exit_code=1 if report.wrong else 0)
