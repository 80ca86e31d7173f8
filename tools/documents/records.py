"""Examples of the records on Kafka: what the contract tests send and receive."""

from collections.abc import Mapping
from typing import Any

from app.wire.command_types import COMMAND_TYPES
from app.wire.events import EVENT_TYPES
from tools.documents.examples import FILES, example

Example = Mapping[str, Any]

_REPLIES = {"": "carried out", ".repeated": "asked again", ".final": "in a final state"}
"""By what follows the reply's type in a file's name, the name of the example."""


def examples_of(message: str) -> list[Example]:
    """Return the examples of a command, reply or event, by its type."""
    if message in COMMAND_TYPES:
        return [{"name": "carried out", "payload": example(f"kafka/{message}")}]
    if message in EVENT_TYPES.values():
        record = example(f"events/{message}")
        headers = {name: record[name] for name in ("event_id", "type", "correlation_id")}
        return [_sent("a change", {**headers, "version": str(record["payload"]["version"])}, record)]
    if message.endswith("_failed"):
        return [_reply("refused", message)]
    files = {name: f"{message}{suffix}" for suffix, name in _REPLIES.items()}
    return [_reply(name, file) for name, file in files.items() if (FILES / "kafka" / f"{file}.json").exists()]


def dead_letter() -> Example:
    """Return the example of a dead letter."""
    return _reply("an unknown type", "dead_letter")


def _reply(name: str, file: str) -> Example:
    record = example(f"kafka/{file}")
    return _sent(name, record["headers"], record["value"])


def _sent(name: str, headers: Mapping[str, str], payload: Any) -> Example:
    return {"name": name, "headers": headers, "payload": payload}
