"""The text of docs/settings.md, made from the settings. `make documents` writes it."""

from dataclasses import fields

from app.config.config import Settings
from tools.sections import markdown_table

_HEAD = """# Settings

`make documents` writes this page from `app/config/config.py`.

- Each setting is an environment variable, or a line of the `.env` file beside `run.py`. The environment wins.
- A value that cannot be used stops the start with a sentence that names the variable.
- SIGHUP reads `.env` again ([operations](operations.md#new-settings-and-new-releases)).
"""


def page() -> str:
    """Return the whole page as Markdown: one row per setting."""
    rows = [
        [f"`{setting.metadata['variable']}`", _code(setting.metadata["default"]), setting.metadata["meaning"]]
        for setting in fields(Settings)
    ]
    return "\n".join([_HEAD, *markdown_table(["variable", "default", "meaning"], rows), ""])


def _code(default: str) -> str:
    return f"`{default}`" if default else "empty"
