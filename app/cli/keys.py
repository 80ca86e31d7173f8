"""`keys create|list|rotate|revoke|line`: the API keys of those who call."""

from dataclasses import asdict
from typing import Any

import click

from app.cli import commands
from app.cli.arguments import ID, limit_option
from app.cli.output import Answer, beyond, changes, looks, record, table
from app.config.config import Settings
from app.models.callers import MAX_NAME, Scope, is_name
from app.operations import keys
from app.operations.audit import Operator
from app.operations.keys import NewKey

group = click.Group("keys", help="API keys: who may call, and what they may do.")
commands.add_command(group)


class Name(click.ParamType[str]):
    """A caller's name, as history and log show it."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or end the command with a sentence."""
        if not is_name(str(value)):
            self.fail(f"it must have 1 to {MAX_NAME} printable characters, no spaces at its ends", param, ctx)
        return str(value)


_name = click.argument("name", type=Name())
_scopes = click.option(
    "--scope",
    "scopes",
    type=click.Choice([str(scope) for scope in Scope]),
    multiple=True,
    required=True,
    callback=lambda _, __, scopes: frozenset(map(Scope, scopes)),
    help="What the key may do; give it more than once for more. `operator` includes all others.",
)
_days = click.option("--expires-days", "days", type=click.IntRange(1, 3650), help="Valid for so many days.")


@group.command("create")
@_name
@_scopes
@_days
@changes
def create(operator: Operator, name: str, scopes: frozenset[Scope], days: int | None) -> Answer:
    """Make a key for a caller, and show it once.

    \b
    Examples:
      flask orders keys create front-end --scope orders:read --scope orders:write
      flask orders keys create prometheus --scope operator --expires-days 90 --as alice
      flask orders keys create front-end --scope orders:read --json | jq -r .key
    """
    return _shown(keys.create(operator, name, scopes, days))


@group.command("list")
@click.option("--ended", is_flag=True, help="Those that were revoked or have expired.")
@limit_option
@looks
def list_keys(settings: Settings, ended: bool, limit: int) -> Answer:
    """List the valid keys, or those that are over. The service stores when a key was used by the hour.

    \b
    Examples:
      flask orders keys list
      flask orders keys list --ended --limit 100 --json
    """
    found = keys.find(settings, ended=ended)
    columns = "id, name, scopes, created=created_at, by=created_by, expires=expires_at, last used=last_used"
    text = table(columns + ended * ", revoked=revoked_at", found[:limit]) + beyond(found, limit)
    return Answer({"keys": found[:limit]}, text)


@group.command("rotate")
@_name
@_days
@changes
def rotate(operator: Operator, name: str, days: int | None) -> Answer:
    """Make a second key for a caller, with the scopes of the first.

    Both are valid until you revoke the first one, so the caller changes over when it likes.

    \b
    Examples:
      flask orders keys rotate front-end
      flask orders keys rotate front-end --expires-days 90 --as alice
    """
    return _shown(keys.rotate(operator, name, days))


@group.command("revoke")
@click.argument("key_id", metavar="ID", type=ID)
@changes
def revoke(operator: Operator, key_id: str) -> Answer:
    """Refuse a key from now on. Every process of the service refuses it within five seconds.

    \b
    Examples:
      flask orders keys revoke 4k2m9x7bqz1a
    """
    found = keys.revoke(operator, key_id)
    return Answer(found, f"Key {found.id} of {found.name} is revoked.")


@group.command("line")
@_name
@_scopes
@looks
def line(_: Settings, name: str, scopes: frozenset[Scope]) -> Answer:
    """Make a key and its line for API_KEYS_FILE, without a database.

    The line has the SHA-256 of the key, not the key. To revoke the key, take the line out of the file.

    \b
    Examples:
      flask orders keys line front-end --scope orders:read --scope orders:write
    """
    return _shown(keys.line(name, scopes))


def _shown(made: NewKey) -> Answer:
    """Return the answer that shows a new key. Nobody can be shown it again."""
    rows: list[tuple[str, Any]] = [
        ("key", made.key),
        ("id", made.id),
        ("name", made.name),
        ("scopes", ", ".join(made.scopes)),
    ]
    rows += [("expires", made.expires_at), ("line for a file", made.line)]
    text = f"{record(rows)}\n\nKeep the key now: it is stored nowhere and never shown again."
    if made.others:
        text += f"\nThe key {made.others[0]} is valid too, until you revoke it."
    return Answer(asdict(made), text)
