"""Which room may import which, and which alone may use a library: the rings of docs/architecture.md, read by ast."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).parents[1] / "app"

MAY_IMPORT = {
    "utils": set[str](),
    "models": {"utils"},
    "wire": {"models", "utils"},
    "config": {"utils"},
    "database": {"models", "wire", "utils", "config"},
    "kafka": {"models", "wire", "utils", "config"},
    "services": {"models", "wire", "utils", "config", "database", "kafka"},
    "operations": {"models", "wire", "utils", "config", "database", "kafka", "services"},
    "api": {"models", "wire", "utils", "config", "services", "operations"},
    "console": {"models", "wire", "utils", "config", "services", "operations", "api"},
    "cli": {"models", "wire", "utils", "config", "services", "operations"},
    "server": {"models", "wire", "utils", "config", "services", "operations", "api"},
}
"""By room, the rooms that it may import. `create_app`, in app/__init__.py, imports them all."""

ONLY_IN = {
    "psycopg2": {"database"},
    "kafka": {"kafka"},
    "flask": {"api", "cli", "console"},
    "itsdangerous": {"console"},
    "click": {"cli"},
    "gunicorn": {"server"},
    "uvloop": {"server"},
    "jwt": {"services"},
    "httptools": {"server"},
    "sqlalchemy": {"models", "database", "operations"},
    "flask_sqlalchemy": {"models"},
    "pydantic": {"wire"},
    "prometheus_client": {"api", "utils"},
    "opentelemetry": {"utils"},
}
"""By library, the rooms that may import it."""


EXCEPTIONS = {
    ("config", "app.database.url"): "the settings refuse an address that psycopg2 could not read",
    ("config", "app.wire.key_file"): "the settings refuse a file of API keys with a bad line",
}
"""Imports across the rings, each with its reason."""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each imported module with its line, wherever in the file it is imported."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            names = (alias.name for alias in node.names)
            yield from ((node.lineno, f"{node.module}.{name}") for name in names)


def refusal(room: str, module: str) -> str | None:
    """Return why a file of the room may not import the module, None where it may."""
    first, _, rest = module.partition(".")
    if any(room == other and module.startswith(f"{allowed}.") for other, allowed in EXCEPTIONS):
        return None
    if first == "app":
        other = rest.partition(".")[0]
        is_allowed = other == room or other in MAY_IMPORT[room]
        return None if is_allowed else f"{room} may not import {other or 'app'}"
    is_allowed = room in ONLY_IN.get(first, {room})
    return None if is_allowed else f"{first} is imported in {' and '.join(sorted(ONLY_IN[first]))} only"


def wrong_imports(app: Path) -> list[str]:
    """Return a line for each import that the rules forbid."""
    return [
        f"{path.relative_to(app)}:{line}: {why}"
        for path in sorted(app.rglob("*.py"))
        if path.parent != app
        for line, module in imports(path)
        if (why := refusal(path.relative_to(app).parts[0], module)) is not None
    ]


def test_every_room_has_a_rule() -> None:
    rooms = {path.parent.relative_to(APP).parts[0] for path in APP.rglob("*.py") if path.parent != APP}
    assert rooms == MAY_IMPORT.keys()


def test_no_import_is_wrong() -> None:
    assert wrong_imports(APP) == []


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("models", "import psycopg2"),
        ("models", "from app.database.orders import OrderStore"),
        ("wire", "from app.services.order_service import OrderService"),
        ("database", "from app.kafka.clients import producer"),
        ("kafka", "from app.database import schema"),
        ("services", "from flask import request"),
        ("operations", "import click"),
        ("api", "from app.database.schema import migrate"),
        ("cli", "    import kafka"),
        ("utils", "from app.config.config import Settings"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, room: str, line: str) -> None:
    planted = tmp_path / room / "planted.py"
    planted.parent.mkdir()
    planted.write_text("def planted() -> None:\n" + line if line.startswith(" ") else line)
    assert [found.partition(":")[0] for found in wrong_imports(tmp_path)] == [f"{room}/planted.py"]
