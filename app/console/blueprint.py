"""The console: pages for those who run the service, at /console. docs/console.md says what it shows and who may look.

Its requests run in threads (app/server/console_threads.py), so its pages may wait. They do not wait long: each
transaction of an operation is bounded here.
"""

from importlib import import_module

from flask import Blueprint, Flask

from app.console import texts
from app.console.parts import Parts

PAGES = (
    *("acts", "board", "commands", "database", "flow", "instances", "letter", "letters", "order", "outbox"),
    *("search", "simulate", "strip", "unmask", "waits"),
)
"""The modules of app/console/pages; each adds its views to the blueprint."""

console = Blueprint("console", __name__, url_prefix="/console", template_folder="templates", static_folder="static")


def register(app: Flask, parts: Parts) -> None:
    """Add the console to the app."""
    for module in ("session", "gate", *(f"pages.{page}" for page in PAGES)):
        import_module(f"app.console.{module}")
    app.extensions["console"] = parts
    app.register_blueprint(console)
    app.jinja_env.filters |= texts.FILTERS
