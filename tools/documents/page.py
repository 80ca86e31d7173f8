"""The AsyncAPI document as a page. The page is a template: the service fills in the addresses of its topics."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

Document = Mapping[str, Any]
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a table: the path of a field, its type in words, and what is said of it."""

    path: str
    type: str
    required: bool
    about: str


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of record. `examples`: name, headers and value as JSON text."""

    name: str
    summary: str
    fields: Sequence[Field]
    examples: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Operation:
    """What the service takes or sends. `messages` first, then the replies to them."""

    name: str
    takes: bool
    summary: str
    address: str
    messages: Sequence[Message]
    replies: Sequence[Message]


def html(document: Document) -> str:
    """Return the page, as a template that takes `topics`: an address for the name of each channel."""
    channels = {
        name: {**channel, "address": Markup(f'{{{{ topics["{name}"] }}}}')}  # noqa: S704 - a name of our document
        for name, channel in document["channels"].items()
    }
    document = {**document, "channels": channels}
    found = operations(document)
    sections = (
        ("Commands and their replies", [operation for operation in found if operation.takes]),
        ("What is sent beside replies", [operation for operation in found if not operation.takes]),
    )
    template = Environment(autoescape=True, loader=FileSystemLoader(Path(__file__).parent)).get_template(
        "asyncapi.html"
    )
    return template.render(
        info=document["info"], channels=channels.values(), sections=sections, common=common(document)
    )


def operations(document: Document) -> list[Operation]:
    """Return the operations in the document's order."""
    return [
        Operation(
            name,
            operation["action"] == "receive",
            operation["summary"],
            resolve(document, operation["channel"])["address"],
            _messages(document, operation),
            _messages(document, operation.get("reply", {"messages": []})),
        )
        for name, operation in document["operations"].items()
    ]


def common(document: Document) -> list[tuple[str, list[Field]]]:
    """Return what every record has around its payload: a title and fields each."""
    messages = document["components"]["messages"]
    received = [operation for operation in document["operations"].values() if operation["action"] == "receive"]
    commands = [resolve(document, message) for operation in received for message in operation["messages"]]
    letter = messages["dead_letter"]
    sent = [message for message in messages.values() if message is not letter and message not in commands]
    return [
        ("Fields of a command", _around(document, commands)),
        ("Headers of a command", list(fields_of(document, commands[0]["headers"]))),
        ("Fields of a reply or event", _around(document, sent)),
        ("Headers of a reply or event", list(fields_of(document, sent[0]["headers"]))),
        ("Headers of a dead letter", list(fields_of(document, letter["headers"]))),
    ]


def fields_of(document: Document, schema: Schema, path: str = "") -> Iterator[Field]:
    """Yield the fields of a schema, those of its parts after them, with their paths."""
    schema = resolve(document, schema)
    required = schema.get("required", ())
    for name, given in schema.get("properties", {}).items():
        field = resolve(document, given)
        yield Field(f"{path}{name}", _in_words(document, given), name in required, given.get("description", ""))
        yield from fields_of(document, field, f"{path}{name}.")
        yield from fields_of(document, field.get("items", {}), f"{path}{name}[].")


def resolve(document: Document, schema: Schema) -> Schema:
    """Return what the schema refers to, or itself."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _around(document: Document, messages: Sequence[Mapping[str, Any]]) -> list[Field]:
    """Return the fields that all messages have around their payloads; each of them has a type of its own."""
    fields = [field for field in fields_of(document, messages[0]["payload"]) if not field.path.startswith("payload.")]
    types = ", ".join(json.dumps(message["name"]) for message in messages)
    return [replace(field, type=f"one of {types}") if field.path == "type" else field for field in fields]


def _messages(document: Document, operation: Mapping[str, Any]) -> list[Message]:
    found = (resolve(document, message) for message in operation["messages"])
    return [
        Message(
            message["name"],
            message["summary"],
            [field for field in fields_of(document, message["payload"]) if field.path.startswith("payload.")],
            [
                (example["name"], _text(example.get("headers")), _text(example["payload"]))
                for example in message["examples"]
            ],
        )
        for message in found
    ]


def _text(value: Any) -> str:
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)


def _in_words(document: Document, schema: Schema) -> str:
    schema = resolve(document, schema)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_in_words(document, way) for way in schema["anyOf"])
    longest = f", {schema['minLength']}-{schema['maxLength']}" if schema.get("minLength") else ""
    return f"{schema.get('format', schema.get('type', 'anything'))}{longest}"
