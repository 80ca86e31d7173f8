"""`alarms list|show|acknowledge`: what a person should look at, whichever process of the service rang it."""

from dataclasses import asdict

import click

from app.cli import commands
from app.cli.arguments import ID, limit_option
from app.cli.output import Answer, beyond, changes, looks, record, table
from app.config.config import Settings
from app.operations import alarms
from app.operations.audit import Operator


@commands.group("alarms", invoke_without_command=True)
@click.pass_context
def group(context: click.Context) -> None:
    """Show the open alarms of the service, and acknowledge those that cannot end by themselves.

    \b
    Examples:
      flask orders alarms
      flask orders alarms list --ended
      flask orders alarms show offset_0
      flask orders alarms acknowledge commands_lost_0_4711 --as alice
    """
    if context.invoked_subcommand is None:
        context.invoke(list_alarms)


@group.command("list")
@click.option("--ended", is_flag=True, help="Those that are over, the latest first.")
@limit_option
@looks
def list_alarms(settings: Settings, ended: bool, limit: int) -> Answer:
    """List the open alarms, or those that are over.

    \b
    Examples:
      flask orders alarms list
      flask orders alarms list --ended --limit 5 --json
    """
    found = alarms.find(settings, ended=ended)
    shown = found[:limit]
    columns = "name, since, last=last_at, count, what=sentence" + ended * ", ended=ended_at, how=ending"
    text = table(columns, shown)
    if not found:
        text = "No alarm is over." if ended else "No alarm is open."
    return Answer({"alarms": shown}, text + beyond(found, limit))


@group.command("show")
@click.argument("name", type=ID)
@looks
def show(settings: Settings, name: str) -> Answer:
    """Show all that is known of one alarm, also of one that is over.

    \b
    Examples:
      flask orders alarms show offset_0
    """
    alarm = alarms.show(settings, name)
    return Answer(alarm, record((field.removesuffix("_at"), value) for field, value in asdict(alarm).items()))


@group.command("acknowledge")
@click.argument("names", metavar="NAME...", type=ID, nargs=-1, required=True)
@changes
def acknowledge(operator: Operator, names: tuple[str, ...]) -> Answer:
    """Say that a person has seen what happened; the alarms end with that.

    The alarm of a condition that lasts is not acknowledged: it ends when its cause does.

    \b
    Examples:
      flask orders alarms acknowledge commands_lost_0_4711
      flask orders alarms acknowledge commands_lost_0_4711 commands_lost_1_17 --as alice
    """
    found = alarms.acknowledge(operator, names)
    return Answer({"acknowledged": found}, "\n".join(f"Alarm {name} is acknowledged." for name in found))
