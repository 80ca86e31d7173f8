"""`instances`: the processes of the service, as each told of itself last, and what a person has seen of them."""

from dataclasses import dataclass
from datetime import datetime

import click

from app.cli import commands
from app.cli.arguments import ID, limit_option
from app.cli.output import Answer, beyond, changes, looks, table
from app.config.config import Settings
from app.operations import instances as operation
from app.operations.audit import Operator
from app.operations.instances import Instance


@dataclass(frozen=True, slots=True)
class _Line:
    host: str
    pid: int
    roles: str
    leads: str
    version: str
    started: datetime
    silent: str
    complaints: str


@commands.group("instances", invoke_without_command=True)
@limit_option
@looks
def group(settings: Settings, limit: int) -> Answer | None:
    """List the processes of the service, those that were heard of last first.

    Each tells of itself once a second. One that was killed stays in the list for a day; one that ended by itself does
    not.

    \b
    Examples:
      flask orders instances
      flask orders instances --json | jq '.instances[] | select(.silent > 3)'
      flask orders instances acknowledge host-1:4711
    """
    if click.get_current_context().invoked_subcommand is not None:
        return None
    found = operation.find(settings)
    columns = "host, pid, roles, leads, version, started, silent for=silent, not well=complaints"
    text = table(columns, map(_line, found[:limit])) if found else "No process has told of itself within a day."
    return Answer({"instances": found[:limit]}, text + beyond(found, limit))


@group.command("acknowledge")
@click.argument("names", metavar="HOST:PID...", type=ID, nargs=-1, required=True)
@changes
def acknowledge(operator: Operator, names: tuple[str, ...]) -> Answer:
    """Say that a person has seen that processes fell silent: nobody misses them any more.

    Without this each is missed until another one starts in its place, for ten minutes at most. One that speaks again is
    listed again.

    \b
    Examples:
      flask orders instances acknowledge host-1:4711
      flask orders instances acknowledge host-1:4711 host-2:17 --as alice
    """
    found = operation.acknowledge(operator, names)
    return Answer({"acknowledged": found}, "\n".join(f"Process {name} is acknowledged." for name in found))


def _line(one: Instance) -> _Line:
    complaints = "; ".join(f"{name}: {why}" for name, why in one.complaints.items())
    leads, version = ", ".join(one.leads) or "-", f"{one.version} ({one.commit[:7]})"
    silent = f"{one.silent:.0f} s"
    return _Line(one.host, one.pid, one.roles, leads, version, one.started_at, silent, complaints or "-")
