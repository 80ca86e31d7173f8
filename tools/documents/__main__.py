"""`python -m tools.documents`: write the documents made from the code: OpenAPI, AsyncAPI with its page, settings."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from app.api.documents import DOCS
from app.wire.decoder import Number, decode
from app.wire.encoder import encode
from tools import settings_page
from tools.documents import asyncapi, openapi, page

TEMPLATES = DOCS.parent / "app" / "api" / "templates"


def texts() -> Mapping[Path, str]:
    """Return what each file should hold."""
    documents = {"openapi.json": openapi.document(), "asyncapi.json": asyncapi.document()}
    pretty = {DOCS / name: _pretty(document) for name, document in documents.items()}
    html = page.html(json.loads(encode(asyncapi.document()))) + "\n"
    return {**pretty, TEMPLATES / "asyncapi.html": html, DOCS / "settings.md": settings_page.page()}


def _pretty(document: Mapping[str, Any]) -> str:
    """Return the document with a line for each value; money keeps its digits."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(decode(encode(document)), default=_digits, option=options).decode()


def _digits(number: Number) -> orjson.Fragment:
    return orjson.Fragment(number.text)


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text)
