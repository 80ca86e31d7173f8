"""Arguments and options that several commands take."""

from typing import Any

import click

from app.wire.fields import MAX_ID_LENGTH, is_id


class Id(click.ParamType[str]):
    """Text that the database can hold: a shell may hand over bytes that are no text."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, or end the command with a sentence."""
        text = str(value)
        if not is_id(text):
            self.fail(f"it must be text of 1 to {MAX_ID_LENGTH} characters", param, ctx)
        return text


ID = Id()
ROW_ID = click.IntRange(1, 2**63 - 1)
SECONDS = click.IntRange(1, 86_400)

row_ids = click.argument(
    "ids", metavar="ID...", type=ROW_ID, nargs=-1, required=True, callback=lambda _, __, ids: tuple(sorted(set(ids)))
)
limit_option = click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most rows.")
bytes_option = click.option(
    "--bytes", "only_bytes", is_flag=True, help="Print nothing but the record's bytes, as they are."
)
reason_option = click.option(
    "--reason", type=ID, required=True, help="Why; the audit keeps it, so it should name no customer and no runner."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def confirm(question: str, *, yes: bool) -> None:
    """Ask on standard error, unless `yes`; a no ends the command with exit code 1."""
    if not yes:
        click.confirm(question, abort=True, err=True)
