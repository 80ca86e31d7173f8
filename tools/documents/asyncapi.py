"""The AsyncAPI 3.0 document, made from the models that read the commands and the shapes of what is sent."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from app.config.config import Settings
from app.utils.build import VERSION
from app.wire.command_types import COMMAND_TYPES
from tools.documents import messages, records
from tools.documents.schemas import Order
from tools.documents.shapes import ref, schemas_of

ABOUT = """\
The order service takes commands of saga orchestrators. It announces each change of an order by one record, in order; an
order made by the HTTP call testCreateOrder is announced from its second change on.

One command gets exactly one reply on the events channel, with the command's correlation id, also when it is refused.
The same bytes again are the same command: nothing happens, and no second reply goes out. While the database is away
commands wait. A command without a type and correlation id that can be read goes to the dead letters, untouched.

A change that came by HTTP is announced by one event, a change that a command asked for by its reply alone. Should a
fault put a record on the topic twice, the copy has the same event_id and version: drop what was already handled. Ignore
types and fields you do not know.
"""
COMMANDS, EVENTS, DEAD_LETTERS = "order_commands", "order_events", "order_commands.dlq"
DEAD_LETTER = "dead_letter"
_KAFKA = {"bindingVersion": "0.5.0"}
_CORRELATION = {"correlationId": {"$ref": "#/components/correlationIds/envelope"}}

CHANNELS = {
    COMMANDS: (
        "Commands to the service",
        "No headers are needed; traceparent is handed on. Key: the order's id, so that one order's commands keep "
        "their order; a record without a key is taken too. "
        "At most 128 KiB and 32 brackets open at once, JSON in UTF-8, no duplicate keys.",
    ),
    EVENTS: (
        "Replies to commands, and events of HTTP changes",
        "Key: the id of the order that the record is about, known or not, else the correlation id; so the records of "
        "one order are in one partition, with gapless versions. JSON in UTF-8, never a tombstone, no transactions.",
    ),
    DEAD_LETTERS: (
        "Commands that could not be read",
        "Key and value are those of the command, untouched; either may be missing. The headers tell why and whence.",
    ),
}


@cache
def document() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document, with the default topics and group. It is shared: do not change it."""
    settings = Settings.load({})
    shapes = _shapes()
    models: list[type[BaseModel]] = [*shapes.values(), *messages.HEADERS, Order]
    sent = [name for name in shapes if name not in messages.COMMANDS]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Order service", "version": VERSION, "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": {
            COMMANDS: _channel(COMMANDS, settings.commands_topic, messages.COMMANDS),
            EVENTS: _channel(EVENTS, settings.events_topic, sent),
            DEAD_LETTERS: _channel(DEAD_LETTERS, settings.dead_letter_topic, [DEAD_LETTER]),
        },
        "operations": _operations(settings.group_id),
        "components": {
            "messages": {**{name: _message(name, shape) for name, shape in shapes.items()}, DEAD_LETTER: _letter()},
            "correlationIds": {"envelope": {"location": "$message.payload#/correlation_id"}},
            "schemas": schemas_of(models),
        },
    }


def _shapes() -> dict[str, type[BaseModel]]:
    return {**messages.COMMANDS, **messages.SUCCESSES, **messages.FAILURES, **messages.EVENTS}


def _channel(name: str, topic: str, names: Iterable[str]) -> dict[str, Any]:
    title, about = CHANNELS[name]
    return {
        "address": topic,
        "title": title,
        "description": about,
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in names},
        "bindings": {"kafka": {"topic": topic, "partitions": 3, **_KAFKA}},
    }


def _operations(group: str) -> dict[str, Any]:
    by_group = {"kafka": {"groupId": {"type": "string", "const": group}, **_KAFKA}}
    requests = {
        kind.name: {
            "action": "receive",
            "channel": _to_channel(COMMANDS),
            "summary": messages.SUMMARIES[kind.name],
            "messages": [_in_channel(COMMANDS, kind.name)],
            "reply": {
                "channel": _to_channel(EVENTS),
                "messages": [_in_channel(EVENTS, reply) for reply in (kind.success, kind.failure)],
            },
            "bindings": by_group,
        }
        for kind in COMMAND_TYPES.values()
    }
    announce = {
        "action": "send",
        "channel": _to_channel(EVENTS),
        "summary": "Announce a change that came by HTTP",
        "messages": [_in_channel(EVENTS, event) for event in messages.EVENTS],
    }
    set_aside = {
        "action": "send",
        "channel": _to_channel(DEAD_LETTERS),
        "summary": "Set a command aside that cannot be read",
        "messages": [_in_channel(DEAD_LETTERS, DEAD_LETTER)],
    }
    return {**requests, "announce_change": announce, "set_aside": set_aside}


def _message(name: str, shape: type[BaseModel]) -> dict[str, Any]:
    is_command = name in messages.COMMANDS
    about_key = "The order's id; may be missing" if is_command else "The order's id, else the correlation id"
    headers = {"headers": ref(messages.CommandHeaders if is_command else messages.RecordHeaders)}
    return {
        "name": name,
        "summary": messages.SUMMARIES[name],
        **headers,
        "payload": ref(shape),
        **_CORRELATION,
        "bindings": {"kafka": {"key": {"type": "string", "description": about_key}, **_KAFKA}},
        "examples": records.examples_of(name),
    }


def _letter() -> dict[str, Any]:
    return {
        "name": DEAD_LETTER,
        "summary": "A command that could not be read",
        "contentType": "application/octet-stream",
        "headers": ref(messages.DeadLetterHeaders),
        "payload": {"description": "The bytes of the command, whatever they are"},
        "bindings": {"kafka": {"key": {"description": "The command's key"}, **_KAFKA}},
        "examples": [records.dead_letter()],
    }


def _to_channel(name: str) -> Mapping[str, str]:
    return {"$ref": f"#/channels/{name}"}


def _in_channel(name: str, message: str) -> Mapping[str, str]:
    return {"$ref": f"#/channels/{name}/messages/{message}"}
