"""`flask orders …`: an operator's face of app/operations. Each command parses, calls an operation and prints."""

import logging
from importlib import import_module
from typing import Any

import click
from flask.cli import with_appcontext

from app.models.operator_errors import OperationFailed

MODULES = (
    "orders",
    "moves",
    "search",
    "waits",
    "drill",
    "send_command",
    "dead_letters",
    "given_up",
    "outbox",
    "readers",
    "offsets",
    "alarms",
    "instances",
    "flow",
    "keys",
    "check",
    "database",
    "why",
    "forget",
    "recover",
    "audit",
    "jobs",
)
"""Each adds its commands to the group below."""


class Commands(click.Group):
    """Imports its commands when one is looked for: a server that starts has no use for them."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the commands."""
        self._load()
        return super().list_commands(context)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command of that name."""
        self._load()
        return super().get_command(context, name)

    def invoke(self, context: click.Context) -> Any:
        """Run the command. Where its operation fails, end with one sentence on standard error and exit code 1."""
        try:
            return super().invoke(context)
        except OperationFailed as failure:
            click.echo(str(failure), err=True)
            context.exit(1)

    def _load(self) -> None:
        for module in MODULES:
            import_module(f"{__name__}.{module}")


@with_appcontext
def _begin() -> None:
    """Show no line of the Kafka client, which logs every attempt to connect: here a failure is one sentence.

    `app.kafka` still hears the lines: they have the reason.
    """
    client = logging.getLogger("kafka")
    click.get_current_context().call_on_close(lambda: setattr(client, "propagate", True))
    client.propagate = False


commands = Commands(
    "orders",
    callback=_begin,
    help="""Look at orders, and do what only a person may decide.

    Database and broker are those of the service's settings (DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS, …). Every command
    takes --json at its end and prints one JSON document then. Exit code 1 with a sentence on standard error when
    something is away or refused. What changes anything leaves a line in the table operator_actions.

    \b
    Examples:
      flask orders list --status pending --limit 5
      flask orders timeline 01a20435-8cd0-7303-b4d3-9c5bde2f68e3
      flask orders check
    """,
)
