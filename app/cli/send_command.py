"""`send-command`: a command as an orchestrator would send it, or any bytes."""

from typing import BinaryIO

import click

from app.cli import commands
from app.cli.arguments import ID
from app.cli.output import Answer, changes
from app.operations import send_command as operations
from app.operations.audit import Operator
from app.wire.command_types import COMMAND_TYPES


@commands.command("send-command")
@click.argument("command_type", metavar="[TYPE]", required=False, type=click.Choice(list(COMMAND_TYPES)))
@click.option("--payload", help="The command's payload, a JSON object; with --raw the whole record.")
@click.option("--file", type=click.File("rb"), help="Read the same from a file, - for standard input.")
@click.option("--raw", is_flag=True, help="Send the bytes as they are: no TYPE, no envelope.")
@click.option("--correlation-id", type=ID, help="Goes into the reply [default: the payload's saga_id, else a new one].")
@click.option("--key", type=ID, help="The record's key [default: none, as the orchestrators do].")
@changes
def send_command(
    operator: Operator,
    command_type: str | None,
    payload: str | None,
    file: BinaryIO | None,
    raw: bool,
    correlation_id: str | None,
    key: str | None,
) -> Answer:
    """Send a command to the commands topic.

    All replicas have it (acks=all) when this tells where it is.

    TYPE is one of the contract's commands; a wrong one is answered with all of them. The service judges the command as
    it judges everybody's; its reply goes to the events topic. The audit line, with the bytes, is written before it is
    sent.

    \b
    Examples:
      flask orders send-command update_order_status --payload '{"order_id": "01a2…", "status": "DELIVERED"}'
      flask orders send-command cancel_order --file payload.json --correlation-id saga-17
      flask orders send-command --raw --file mended-record.json
    """
    if (payload is None) == (file is None):
        raise click.UsageError("Give either --payload or --file.")
    if raw != (command_type is None) or (raw and correlation_id is not None):
        raise click.UsageError("Give either a TYPE, or --raw and neither TYPE nor --correlation-id.")
    data = file.read() if file is not None else (payload or "").encode("utf-8", "surrogateescape")
    if command_type is None:
        sent = operations.send_raw(operator, data, key=key)
    else:
        sent = operations.send_command(operator, command_type, data, correlation_id=correlation_id, key=key)
    place = sent.place
    named = "" if sent.correlation_id is None else f", correlation id {sent.correlation_id}"
    return Answer(sent, f"Sent to {place.topic}, partition {place.partition}, offset {place.offset}{named}.")
