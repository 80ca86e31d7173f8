"""`python -m tools.documents`: write the documents that are made from the code: OpenAPI, AsyncAPI, settings."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.api.documents import asyncapi, openapi
from app.config.config import Settings
from app.utils.encoder import encode
from tools import settings_page

DOCS = Path(__file__).resolve().parents[1] / "docs"


def texts() -> Mapping[Path, str]:
    """Return what each file should hold."""
    documents = {"openapi.json": openapi.document(), "asyncapi.json": asyncapi.document(Settings.load({}))}
    pretty = {DOCS / name: _pretty(document) for name, document in documents.items()}
    return {**pretty, DOCS / "settings.md": settings_page.page()}


def _pretty(document: Mapping[str, Any]) -> str:
    return json.dumps(json.loads(encode(document)), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text)
