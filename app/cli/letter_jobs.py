"""What `dead-letters replay` and `discard` share when they are done by a job: of which letters, and why."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import click

from app.cli.arguments import ID, ROW_ID, confirm
from app.cli.output import Answer
from app.models.jobs import REPLAY
from app.operations import dead_letter_groups, jobs
from app.operations.audit import Operator
from app.operations.judge import judge
from app.utils.text import listed

letters_argument = click.argument(
    "ids", metavar="[ID...]", type=ROW_ID, nargs=-1, callback=lambda _, __, ids: tuple(sorted(set(ids)))
)


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that a job may do."""
    options = (
        click.option("--job", "as_job", is_flag=True, help="Let the service do it, thing by thing; needs --reason."),
        click.option("--group", "group_id", type=ID, help="The letters that a group has now (see groups); as a job."),
        click.option("--reason", type=ID, help="Why, for a job; the audit keeps it."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def is_job(ids: Sequence[int], group_id: str | None, *, as_job: bool, reason: str | None) -> bool:
    """Tell whether a job is asked for. Ends the command where the options do not fit together."""
    if bool(ids) == (group_id is not None):
        raise click.UsageError("Give either ids or --group.")
    wanted = as_job or group_id is not None
    if wanted and reason is None:
        raise click.UsageError("A job needs a --reason.")
    if not wanted and reason is not None:
        raise click.UsageError("--reason goes with --job or --group.")
    return wanted


def start(
    operator: Operator, kind: str, ids: Sequence[int], group_id: str | None, reason: str | None, *, yes: bool
) -> Answer:
    """Freeze the ids, judge what is to be sent again, ask, and start the job."""
    more = 0
    if group_id is not None:
        ids, more = dead_letter_groups.frozen(operator.settings, group_id)
    judged = Counter(judgement.verdict for judgement in judge(operator.settings, ids)) if kind == REPLAY else Counter()
    beyond = f" {more} more of the group are left for another job." if more else ""
    what = "sent again" if kind == REPLAY else "discarded, and their bytes leave the table"
    now = f", by now's judgement: {_in_words(judged)}" if judged else ""
    letters = "1 dead letter" if len(ids) == 1 else f"{len(ids)} dead letters"
    confirm(f"{letters} will be {what}{now}.{beyond} Go on?", yes=yes)
    job_id = jobs.start(operator, kind, ids, reason=reason or "")
    sentence = f"Job {job_id} has {letters} to do{now}: flask orders jobs show {job_id}.{beyond}"
    document = {"job": job_id, "dead_letters": len(ids), "left_out": more}
    return Answer(document | ({"judged": judged} if judged else {}), sentence)


def _in_words(judged: Counter[str]) -> str:
    return listed(f"{count} {verdict}" for verdict, count in judged.most_common())
