"""`dead-letters list|groups|show|judge|replay|mend|retry|discard`: unreadable commands, and what is decided."""

from typing import BinaryIO

import click

from app.cli import commands, letter_jobs
from app.cli.arguments import ROW_ID, bytes_option, confirm, limit_option, reason_option, row_ids, yes_option
from app.cli.letter_jobs import job_options, letters_argument
from app.cli.output import Answer, beyond, changes, looks, table, with_bytes
from app.config.config import Settings
from app.operations import dead_letter_groups, dead_letters, resend
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


@group.command("groups")
@limit_option
@looks
def list_groups(settings: Settings, limit: int) -> Answer:
    """Show the undecided dead letters by cause: why they cannot be read, and what is known of their sender.

    The newest 5000 are looked at. `replay --group` and `discard --group` take the letters that a group has then.

    \b
    Examples:
      flask orders dead-letters groups
      flask orders dead-letters replay --group 5f1c09ab --reason 'producer mended'
    """
    found = dead_letter_groups.grouped(settings)
    shown = found.groups[:limit]
    columns = "group=id, count, why=reason, type, keys=key, topic, partitions, first, last, such as=examples"
    text = table(columns, shown) + beyond(found.groups, limit)
    if found.left_out:
        text += f"\n{found.left_out} older dead letters were not looked at."
    return Answer({"groups": shown, "left_out": found.left_out}, text)


@group.command("show")
@click.argument("letter_id", metavar="ID", type=ROW_ID)
@bytes_option
@looks
def show_letter(settings: Settings, letter_id: int, only_bytes: bool) -> Answer | None:
    """Show one dead letter with its key and value.

    \b
    Examples:
      flask orders dead-letters show 7
      flask orders dead-letters show 7 --bytes > record    (to mend it: mend 7 --file record)
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
@letters_argument
@job_options
@yes_option
@changes
def replay(
    operator: Operator, ids: tuple[int, ...], as_job: bool, group_id: str | None, reason: str | None, yes: bool
) -> Answer:
    """Send dead letters again: the same keys and bytes to the topic they came from, one after the other.

    The service judges each again. Where one is still unreadable it becomes a new dead letter. A job, which the service
    does, says first what the letters would do now and asks. It goes on where one cannot be sent, can be stopped, and
    takes 1000 letters at most.

    \b
    Examples:
      flask orders dead-letters replay 7
      flask orders dead-letters replay 7 8 9 --as alice
      flask orders dead-letters replay 7 8 9 --job --reason 'producer mended'
      flask orders dead-letters replay --group 5f1c09ab --reason 'producer mended'
    """
    if letter_jobs.is_job(ids, group_id, as_job=as_job, reason=reason):
        return letter_jobs.start(operator, "replay", ids, group_id, reason, yes=yes)
    done = resend.replay(operator, ids)
    lines = [f"Dead letter {sent.id} was sent again, as {sent.place}." for sent in done]
    return Answer(done[0] if len(done) == 1 else {"dead_letters": done}, "\n".join(lines))


@group.command("mend")
@click.argument("letter_id", metavar="ID", type=ROW_ID)
@click.option("--file", type=click.File("rb"), required=True, help="The whole mended record, - for standard input.")
@reason_option
@changes
def mend(operator: Operator, letter_id: int, file: BinaryIO, reason: str) -> Answer:
    """Send mended bytes in place of a dead letter, with its key to its topic, and mark it with their place.

    Bytes that are no command either are refused. The audit line keeps the bytes and the reason.

    \b
    Examples:
      flask orders dead-letters show 7 --bytes > record
      flask orders dead-letters mend 7 --file record --reason 'a brace was missing' --as alice
    """
    done = resend.mend(operator, letter_id, file.read(), reason=reason)
    return Answer(done, f"Dead letter {letter_id} was sent mended, as {done.place}.")


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
@letters_argument
@job_options
@click.option("--unsent", is_flag=True, help="Also when Kafka has not taken it: it leaves the lane, and the table.")
@yes_option
@changes
def discard(
    operator: Operator,
    ids: tuple[int, ...],
    unsent: bool,
    as_job: bool,
    group_id: str | None,
    reason: str | None,
    yes: bool,
) -> Answer:
    """Decide that nothing is to be done about dead letters, all of those named or none; a job discards those it can.

    Their lines stay in the table until they are too old, their bytes go: the dead letter topic has them. One that this
    topic refused, or, with --unsent, has not got yet leaves the table: only the audit line keeps its bytes then.

    \b
    Examples:
      flask orders dead-letters discard 7 8 9
      flask orders dead-letters discard 10 --unsent --yes --as alice
      flask orders dead-letters discard --group 5f1c09ab --reason 'a load test'
    """
    if letter_jobs.is_job(ids, group_id, as_job=as_job, reason=reason):
        if unsent:
            raise click.UsageError("--unsent does not go with a job.")
        return letter_jobs.start(operator, "discard", ids, group_id, reason, yes=yes)
    found = dead_letters.require_discardable(operator.settings, ids, unsent=unsent)
    what = "will not reach the dead letter topic, and their bytes" if unsent else "are decided about, and their bytes"
    confirm(f"{len(found)} dead letters {what} leave the table. Go on?", yes=yes)
    dead_letters.discard(operator, found, unsent=unsent)
    lines = [f"Dead letter {letter_id} was discarded." for letter_id in found]
    document = {"id": found[0], "resolution": "discarded"} if len(found) == 1 else {"ids": found}
    return Answer(document, "\n".join(lines))
