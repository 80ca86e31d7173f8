"""`instances`: the processes of the service, as each told of itself last."""

from dataclasses import dataclass
from datetime import datetime

from app.cli import commands
from app.cli.arguments import limit_option
from app.cli.output import Answer, beyond, looks, table
from app.config.config import Settings
from app.operations import instances as operation
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


@commands.command("instances")
@limit_option
@looks
def list_instances(settings: Settings, limit: int) -> Answer:
    """List the processes of the service, those that were heard of last first.

    Each tells of itself once a second. One that was killed stays in the list for a day; one that ended by itself does
    not.

    \b
    Examples:
      flask orders instances
      flask orders instances --json | jq '.instances[] | select(.silent > 3)'
    """
    found = operation.find(settings)
    columns = "host, pid, roles, leads, version, started, silent for=silent, not well=complaints"
    text = table(columns, map(_line, found[:limit])) if found else "No process has told of itself within a day."
    return Answer({"instances": found[:limit]}, text + beyond(found, limit))


def _line(one: Instance) -> _Line:
    complaints = "; ".join(f"{name}: {why}" for name, why in one.complaints.items())
    leads, version = ", ".join(one.leads) or "-", f"{one.version} ({one.commit[:7]})"
    silent = f"{one.silent:.0f} s"
    return _Line(one.host, one.pid, one.roles, leads, version, one.started_at, silent, complaints or "-")
