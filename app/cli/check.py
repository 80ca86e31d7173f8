"""`check` and `recount`: does everything that is stored agree, and the numbers of the lists anew where they do not."""

import click

from app.cli import commands
from app.cli.arguments import SECONDS, confirm, yes_option
from app.cli.output import Answer, changes, looks, printable
from app.config.config import Settings
from app.operations import check as operations
from app.operations.audit import Operator


@commands.command("check")
@click.option("--late", type=SECONDS, default=60, show_default=True, help="Seconds after which an unsent row is late.")
@click.option("--deadline", type=SECONDS, default=120, show_default=True, help="Seconds that the reading may take.")
@looks
def check(settings: Settings, late: int, deadline: int) -> Answer:
    """Compare all that is stored, and say what is wrong.

    That is orders, history, outbox, sagas, counts, dead letters, and the offsets with the log. What keeps commands
    or events waiting is said too: open alarms of the service, and what the broker tells.

    Exit code 1 when something is. It only reads, at one instant, while the service runs; where the broker or
    the topic is away, the offsets are left out and that is said.

    \b
    Examples:
      flask orders check
      flask orders check --deadline 600 --json | jq '.findings[].check'
    """
    report = operations.check(settings, late_seconds=late, deadline_seconds=deadline)
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

    Nobody can write an order meanwhile: some seconds per million orders. Only the owner of the tables may.

    \b
    Examples:
      flask orders recount
      flask orders recount --yes --as alice
    """
    confirm("Orders cannot be written while they are counted. Go on?", yes=yes)
    counted = operations.recount(operator, deadline_seconds=deadline)
    return Answer({"orders": counted}, f"Counted {counted} orders.")
