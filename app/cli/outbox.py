"""`outbox`: events that wait for Kafka, the one that it refuses for good, and those that it had and lost."""

import click

from app.cli import commands
from app.cli.arguments import confirm, limit_option, yes_option
from app.cli.output import Answer, changes, looks, printable, table
from app.config.config import Settings
from app.operations import lost_events, outbox, relay_look
from app.operations.audit import Operator
from app.operations.outbox import PutBack, TakenOut

EVENT_ID = click.IntRange(-(2**63), 2**63 - 1)
"""The id of an event in the outbox: below zero while it waits for its partition."""
NUMBERS = {"ignore_unknown_options": True}  # -17 is an id
event_argument = click.argument("event", metavar="ID", type=EVENT_ID)


@commands.group("outbox", invoke_without_command=True)
@limit_option
@looks
def group(settings: Settings, limit: int) -> Answer | None:
    """Show the events that wait for Kafka: how many, since when, the oldest.

    \b
    Examples:
      flask orders outbox
      flask orders outbox --limit 3 --json
      flask orders outbox take-out 4711
      flask orders outbox put-back 4711
    """
    if click.get_current_context().invoked_subcommand is not None:
        return None
    found = outbox.waiting(settings, limit=limit)
    if not found.oldest:
        return Answer(found, "No event waits.")
    sentence = f"{found.depth} events wait, the oldest for {found.oldest_age_seconds} s."
    columns = "id, since=created_at, type, key=aggregateid, version, bytes, correlation id=correlation_id, refusal"
    return Answer(found, f"{sentence}\n{table(columns, found.oldest)}")


@group.command("lanes")
@looks
def lanes(settings: Settings) -> Answer:
    """Show both lanes of the relay, who leads, and what only a person decides: refused, taken out, lost.

    Depth and age are those that the watch saw last, a dash where nobody watches. Lists have at most 20 rows.

    \b
    Examples:
      flask orders outbox lanes
      flask orders outbox lanes --json | jq '.refused[].id'
    """
    found = relay_look.look(settings)
    parts = [("", table("lane=name, depth, oldest s=oldest_seconds, leaders", found.lanes))]
    parts += [
        ("Kafka refuses:", table("id, since=created_at, type, key=aggregateid, version, refusal", found.refused)),
        ("Refused dead letters:", table("id, topic, partition, offset, refusal", found.refused_letters)),
        (
            f"Taken out, {found.taken_out_in_all} in all:",
            table("id=outbox_id, type, key=aggregateid, version, out since=taken_out_at, refusal", found.taken_out),
        ),
        (
            f"Lost, {found.lost_in_all} not announced again:",
            table("key=order_id, version, found=found_at, announced again=announced_at", found.lost),
        ),
    ]
    shown = [f"{title}\n{text}".strip() for title, text in parts if text != "Nothing."]
    return Answer(found, "\n\n".join([*shown, *map(printable, found.notes)]))


@group.command("take-out", context_settings=NUMBERS)
@event_argument
@yes_option
@changes
def take_out(operator: Operator, event: int, yes: bool) -> Answer:
    """Take an event out that Kafka refuses for good.

    The events behind it can leave then. Consumers do not get it: the versions of its order have a gap, which `check`
    reports until the event is put back. Only an event that the relay has named as refused can be taken out. The command
    waits up to 20 s for a moment in which no relay leads; a healthy lane has none.

    \b
    Examples:
      flask orders outbox take-out 4711
      flask orders outbox take-out 4711 --yes --as alice
    """
    confirm(f"Consumers will not see event {event} until it is put back. Go on?", yes=yes)
    taken = outbox.take_out(operator, event)
    return Answer(taken, f"Event {event}, {_named(taken)}, was taken out.")


@group.command("put-back", context_settings=NUMBERS)
@event_argument
@yes_option
@changes
def put_back(operator: Operator, event: int, yes: bool) -> Answer:
    """Put an event back that was taken out: it is sent as it was, with its event id and version.

    Later versions of its order that have left already stay before it: consumers get it late, and the answer says after
    which version. If later ones still wait, it goes before them, provided that the lane has no leader within 20 s.

    \b
    Examples:
      flask orders outbox put-back 4711
      flask orders outbox put-back 4711 --yes --as alice
    """
    confirm(f"Event {event} will be sent, after what has left meanwhile. Go on?", yes=yes)
    back = outbox.put_back(operator, event)
    after = back.after_version
    words = f"after version {after} of its order" if after else "with nothing of its order before it that is younger"
    document = {"event_id": back.event_id, "version": back.version, "after_version": after}
    return Answer(document, f"Event {event}, {_named(back)}, waits for Kafka again, {words}.")


@group.command("find-lost")
@click.option("--hours", type=click.IntRange(1, 24 * 365), default=24, show_default=True, help="How far back to look.")
@click.option(
    "--http-created",
    is_flag=True,
    help="Also orders created over HTTP: history does not tell which are of testCreateOrder, which announces none.",
)
@changes
def find_lost(operator: Operator, hours: int, http_created: bool) -> Answer:
    """Find changes whose event is not on the topic: Kafka came back with an older copy, or lost it otherwise.

    Compares the history of so many hours with the records on the topic since then. `check` reports the lost events
    until they are announced again. The topic is only read.

    \b
    Examples:
      flask orders outbox find-lost --hours 3
      flask orders outbox find-lost --hours 48 --json
    """
    lost = lost_events.find_lost(operator, hours=hours, http_created=http_created)
    return Answer({"lost": lost}, f"{len(lost)} events are lost." if lost else "No event is lost.")


@group.command("announce-again")
@yes_option
@changes
def announce_again(operator: Operator, yes: bool) -> Answer:
    """Announce the events again that `find-lost` has found: with their event ids and versions, from the history.

    They go behind what waits, in the order in which they were made; consumers that have later versions of an order get
    them late. The `event` text of an HTTP event is the order as it is now, with the version that it has now. Replies
    that announced no change (refusals, repeats) are in no history and stay lost.

    \b
    Examples:
      flask orders outbox announce-again
      flask orders outbox announce-again --yes --as alice --json
    """
    confirm("Consumers get the lost events again, behind what has left since. Go on?", yes=yes)
    total = lost_events.announce_again(operator)
    return Answer(
        {"announced": total}, f"{total} events wait for Kafka again." if total else "No event is known to be lost."
    )


def _named(event: TakenOut | PutBack) -> str:
    version = "" if event.version is None else f" (version {event.version})"
    return f"{event.type} of {event.aggregateid}{version}"
