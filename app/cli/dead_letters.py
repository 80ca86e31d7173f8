"""`dead-letters list|show|judge|replay|retry|discard`: unreadable commands, and what a person decides of them."""

import click

from app.cli import commands
from app.cli.arguments import ROW_ID, bytes_option, confirm, limit_option, row_ids, yes_option
from app.cli.output import Answer, changes, looks, table, with_bytes
from app.config.config import Settings
from app.operations import dead_letters
from app.operations import judge as operations
from app.operations.audit import Operator

group = click.Group("dead-letters", help="Commands that could not be read.")
commands.add_command(group)


@group.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that were replayed or discarded.")
@limit_option
@looks
def list_letters(settings: Settings, every: bool, limit: int) -> Answer:
    """List the dead letters that nobody has decided about, newest first.

    \b
    Examples:
      flask orders dead-letters list
      flask orders dead-letters list --all --limit 100 --json
    """
    found = dead_letters.find(settings, every=every, limit=limit)
    columns = "id, found=created_at, was at=place, bytes, why=error, sent, decided=resolution"
    return Answer({"dead_letters": found}, table(columns, found))


@group.command("show")
@click.argument("letter_id", metavar="ID", type=ROW_ID)
@bytes_option
@looks
def show_letter(settings: Settings, letter_id: int, only_bytes: bool) -> Answer | None:
    """Show one dead letter with its key and value.

    \b
    Examples:
      flask orders dead-letters show 7
      flask orders dead-letters show 7 --bytes > record    (to mend it: send-command --raw --file record)
    """
    return with_bytes(dead_letters.show(settings, letter_id), only_bytes=only_bytes)


@group.command("judge")
@row_ids
@looks
def judge(settings: Settings, ids: tuple[int, ...]) -> Answer:
    """Show what each dead letter would do if it was sent again now, without sending it.

    The service's own code handles them, one after the other, in a transaction that is rolled back.

    \b
    Examples:
      flask orders dead-letters judge 7 8 9
      flask orders dead-letters judge 7 --json | jq '.judgements[].verdict'
    """
    found = operations.judge(settings, ids)
    columns = "id, verdict, would be=would_be, order=order_id, correlation id=correlation_id"
    return Answer({"judgements": found}, table(columns, found))


@group.command("replay")
@row_ids
@changes
def replay(operator: Operator, ids: tuple[int, ...]) -> Answer:
    """Send dead letters again: the same keys and bytes to the topic they came from, one after the other.

    The service judges each again. Where one is still unreadable it becomes a new dead letter.

    \b
    Examples:
      flask orders dead-letters replay 7
      flask orders dead-letters replay 7 8 9 --as alice
    """
    done = dead_letters.replay(operator, ids)
    lines = [f"Dead letter {sent.id} was sent again, as {sent.place}." for sent in done]
    return Answer(done[0] if len(done) == 1 else {"dead_letters": done}, "\n".join(lines))


@group.command("retry")
@row_ids
@changes
def retry(operator: Operator, ids: tuple[int, ...]) -> Answer:
    """Offer dead letters to the dead letter topic again that it refused, after its limit was raised.

    \b
    Examples:
      flask orders dead-letters retry 7 8 --as alice
    """
    renewed = dead_letters.retry(operator, ids)
    sentence = f"{len(renewed)} will be sent, with the new ids {', '.join(map(str, renewed))}."
    return Answer({"ids": renewed}, sentence)


@group.command("discard")
@row_ids
@click.option("--unsent", is_flag=True, help="Also when Kafka has not taken it: it leaves the lane, and the table.")
@yes_option
@changes
def discard(operator: Operator, ids: tuple[int, ...], unsent: bool, yes: bool) -> Answer:
    """Decide that nothing is to be done about dead letters, all of those named or none.

    Their lines stay in the table until they are too old, their bytes go: the dead letter topic has them. One that this
    topic refused, or, with --unsent, has not got yet leaves the table: only the audit line keeps its bytes then.

    \b
    Examples:
      flask orders dead-letters discard 7 8 9
      flask orders dead-letters discard 10 --unsent --yes --as alice
    """
    found = dead_letters.require_discardable(operator.settings, ids, unsent=unsent)
    what = "will not reach the dead letter topic, and their bytes" if unsent else "are decided about, and their bytes"
    confirm(f"{len(found)} dead letters {what} leave the table. Go on?", yes=yes)
    dead_letters.discard(operator, found, unsent=unsent)
    lines = [f"Dead letter {letter_id} was discarded." for letter_id in found]
    document = {"id": found[0], "resolution": "discarded"} if len(found) == 1 else {"ids": found}
    return Answer(document, "\n".join(lines))
