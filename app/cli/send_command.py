"""`send-command`: a command as an orchestrator would send it, or any bytes."""

import uuid
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO

import click
from flask import current_app
from flask.cli import with_appcontext

from app.cli import audit, broker
from app.cli.arguments import ID
from app.cli.broker import Place
from app.cli.cluster import require_ours
from app.cli.database import transaction
from app.cli.output import Failure, json_option, print_json
from app.config.config import Settings
from app.models.errors import Refused
from app.wire.command_types import COMMAND_TYPES
from app.wire.decoder import decode
from app.wire.encoder import encode


@click.command("send-command")
@click.argument("command_type", metavar="[TYPE]", required=False, type=click.Choice(list(COMMAND_TYPES)))
@click.option("--payload", help="The command's payload, a JSON object; with --raw the whole record.")
@click.option("--file", type=click.File("rb"), help="Read the same from a file, - for standard input.")
@click.option("--raw", is_flag=True, help="Send the bytes as they are: no TYPE, no envelope.")
@click.option("--correlation-id", type=ID, help="Goes into the reply [default: the payload's saga_id, else a new one].")
@click.option("--key", type=ID, help="The record's key [default: none, as the orchestrators do].")
@audit.as_option
@json_option
@with_appcontext
def send_command(
    command_type: str | None,
    payload: str | None,
    file: BinaryIO | None,
    raw: bool,
    correlation_id: str | None,
    key: str | None,
    who: str,
    as_json: bool,
) -> None:
    """Send a command to the commands topic.

    All replicas have it (acks=all) when this tells where it is.

    TYPE is create_order, update_order_status or cancel_order. The service judges the command as it judges
    everybody's; its reply goes to the events topic. The audit line, with the bytes, is written before it is sent.

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
    if command_type is not None:
        body = _payload(data)
        correlation_id = correlation_id or _saga_id(body) or str(uuid.uuid4())
        data = _envelope(command_type, correlation_id, body)
    settings: Settings = current_app.extensions["settings"]
    place = _send(settings, who, command_type or "raw", None if key is None else key.encode(), data)
    if as_json:
        print_json({"correlation_id": correlation_id, "place": place})
        return
    named = "" if correlation_id is None else f", correlation id {correlation_id}"
    click.echo(f"Sent to {place.topic}, partition {place.partition}, offset {place.offset}{named}.")


def _send(settings: Settings, who: str, what: str, key: bytes | None, data: bytes) -> Place:
    """Send the command between two transactions: whatever ends this program, what may have been sent has its line."""
    with transaction() as connection:
        line = audit.begin(connection, who, "send-command", f"{what} to {settings.commands_topic}", data=data)
    try:
        place = broker.send(settings, settings.commands_topic, key, data, partial(require_ours, settings))
    except Failure as failure:
        with transaction() as connection:
            audit.complete(connection, line, failure.message)
        raise
    try:
        with transaction() as connection:
            audit.complete(connection, line, f"sent as {place.topic}/{place.partition}/{place.offset}")
    except Failure as failure:
        sent = f"The command was sent as {place.topic}/{place.partition}/{place.offset}, but its audit line"
        raise Failure(f"{sent} does not say so: {failure.message}") from None
    return place


def _payload(data: bytes) -> dict[str, Any]:
    try:
        body = decode(data)
    except Refused as error:
        raise Failure(f"The payload cannot be read: {error}.") from None
    if not isinstance(body, dict):
        raise Failure("The payload must be a JSON object.")
    return body


def _saga_id(body: dict[str, Any]) -> str | None:
    saga_id = body.get("saga_id")
    return saga_id if isinstance(saga_id, str) and saga_id else None


def _envelope(command_type: str, correlation_id: str, body: dict[str, Any]) -> bytes:
    now = datetime.now(UTC).isoformat()
    return encode({"type": command_type, "correlation_id": correlation_id, "timestamp": now, "payload": body})
