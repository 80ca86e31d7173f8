"""`python -m tools.documents`: write docs/openapi.json and docs/asyncapi.json as the service serves them by default."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.api.documents import asyncapi, openapi
from app.config.config import Settings
from app.utils.encoder import encode

DOCS = Path(__file__).resolve().parents[1] / "docs"


def texts() -> Mapping[Path, str]:
    """Return what each file should hold."""
    documents = {"openapi.json": openapi.document(), "asyncapi.json": asyncapi.document(Settings.load({}))}
    return {DOCS / name: _pretty(document) for name, document in documents.items()}


def _pretty(document: Mapping[str, Any]) -> str:
    return json.dumps(json.loads(encode(document)), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text)
