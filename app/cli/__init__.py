"""`flask orders …`: what an operator looks at and decides. Talks to database and broker, never to the service."""

import logging

import click
from flask.cli import AppGroup


class AtFirstUse(AppGroup):
    """Imports its commands when one is looked for: a server that starts has no use for them."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the commands."""
        self._load()
        return super().list_commands(context)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command of that name."""
        self._load()
        return super().get_command(context, name)

    def _load(self) -> None:
        if self.commands:
            return
        from app.cli import (
            alarms,
            check,
            dead_letters,
            given_up,
            lost_events,
            offsets,
            orders,
            outbox,
            recount,
            send_command,
        )

        found = [orders.list_orders, orders.show_order, orders.timeline, send_command.send_command, dead_letters.group]
        for command in [
            *found,
            alarms.group,
            given_up.group,
            lost_events.add_to(outbox.group),
            offsets.group,
            check.check,
            recount.recount,
        ]:
            self.add_command(command)


def _silence_kafka() -> None:
    """The client logs every attempt to connect; here a failure is one sentence."""
    client = logging.getLogger("kafka")
    click.get_current_context().call_on_close(lambda level=client.level: client.setLevel(level))
    client.setLevel(logging.CRITICAL)


commands = AtFirstUse(
    "orders",
    callback=_silence_kafka,
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
