"""The text of docs/settings.md, made from the settings. `make documents` writes it."""

from dataclasses import fields

from app.config.config import Settings
from tools.sections import markdown_table

_HEAD = """# Settings

`make documents` writes this page from `app/config/groups.py`.

- Each setting is an environment variable, or a line of the `.env` file beside `run.py`. The environment wins.
- A value that cannot be used stops the start with a sentence that names the variable.
- SIGHUP reads `.env` again ([deploying](deploying.md#upgrade)).
"""


def page() -> str:
    """Return the whole page as Markdown: a section per group, a row per setting."""
    lines = [_HEAD]
    for group in reversed(Settings.__bases__):
        settings = [setting.metadata for setting in fields(Settings) if setting.name in group.__annotations__]
        rows = [[f"`{row['variable']}`", _code(row["default"]), row["meaning"]] for row in settings]
        lines += [
            f"## {(group.__doc__ or '').rstrip('.')}",
            "",
            *markdown_table(["variable", "default", "meaning"], rows),
            "",
        ]
    return "\n".join(lines)


def _code(default: str) -> str:
    return f"`{default}`" if default else "empty"
