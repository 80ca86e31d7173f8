"""What became of a command: unreadable, given up, done, refused, unchanged, or the same bytes as one before."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Row

from app.kafka.operator import Place
from app.operations.why_case import Case, Check, LastWord
from app.operations.why_facts import Facts
from app.operations.why_ground import evidence_of, ringing
from app.utils.spans import span
from app.utils.text import counted


def readable(case: Case) -> Check | None:
    """Could the command be read, or is it a dead letter?"""
    facts = case.known
    if not facts.letters:
        return Check("readable", True, "The command can be read.") if case.command is not None else None
    letter = facts.letters[0]
    show = f"flask orders dead-letters show {letter.id}"
    said = f"The command at {_place(letter)} cannot be read, so it has no reply: {letter.error.rstrip('.')}."
    if letter.resolution is not None:
        when = span(facts.ago(letter.resolved_at))
        return Check("readable", False, f"{said} An operator decided {when} ago: {letter.resolution}.", heals=show)
    sent = (
        f"its topic has it since {span(facts.ago(letter.sent_at))}"
        if letter.sent_at
        else letter.refusal or "not sent yet"
    )
    heals = (
        f"{show}; then flask orders dead-letters replay {letter.id}, or send it mended: flask orders send-command --raw"
    )
    return Check("readable", False, said, [f"Dead letter {letter.id}: {sent}"], heals)


def carried_out(case: Case) -> Check | None:
    """Could the command be handled, or was it given up? None if nothing was given up."""
    facts = case.known
    if not facts.given_up:
        return None
    row = facts.given_up[0]
    said = f"The {row.type} at {_place(row)} could not be handled and was given up: {row.error.rstrip('.')}."
    rung = ringing(facts, f"command_given_up_{row.partition}_{row.offset}")
    evidence = ["Its sender got a failure with the code internal_error", *evidence_of(rung, facts)]
    heals = f"flask orders given-up show {row.id}; report the bug, then send the command again with other bytes"
    return Check("carried_out", False, said, evidence, heals)


def decided(case: Case) -> Check | None:
    """What was decided last: done, refused with a code, unchanged, or nothing, because the bytes came again?"""
    facts = case.known
    repeated = _repeat(case)
    if repeated is not None:
        return repeated
    word = max(_words(case), key=lambda word: word.at, default=case.word)
    case.word = word
    refused = facts.last_refused(case.id)
    if refused is not None and (word is None or word.at < refused.at):
        heals = "The caller reads the answer, and sends the request again with the same Idempotency-Key"
        return Check("decided", False, f"{refused.told(facts.now)}: the next move is the caller's.", heals=heals)
    if word is None:
        unknown = [
            each for each in facts.unknown if each.split(":")[0].split()[-1] in ("order_changes", "command_identities")
        ]
        if unknown:
            return Check("decided", None, f"What was decided could not be asked: {unknown[0]}.")
        return None
    by = f" by the command at {word.place}" if word.place else ""
    return Check("decided", True, f"{word.what[:1].upper()}{word.what[1:]}{by}, {span(facts.ago(word.at))} ago.")


def _repeat(case: Case) -> Check | None:
    """Return the check of a command at its place whose bytes were handled before."""
    facts, place, seen = case.known, case.place, case.command
    if place is None or seen is None:
        return None
    if any(_place_of_change(change) == place for change in facts.changes):
        return None
    for row in facts.unfulfilled:
        first = _place_of_fact(row, place.topic)
        if bytes(row.hash) != seen.hash or first == place or not row.repeats:
            continue
        at_first = first or next((_place_of_change(each) for each in facts.changes if _is_of(each, row)), None)
        where = f" at {at_first}" if at_first else ""
        outcome = "" if row.outcome is None else f" ({_outcome(row)})"
        said = f"The same bytes were handled before{where}{outcome}: this sending does nothing and gets no reply [K8]."
        evidence = [f"Came again {counted(row.repeats, 'time')}, the last {span(facts.ago(row.repeated_at))} ago"]
        heals = f"Ask for the first: flask orders why {at_first or row.correlation_id}. A new command needs other bytes"
        return Check("decided", False, said, evidence, heals)
    return None


def _words(case: Case) -> list[LastWord]:
    """Return what was decided about the id: of a command at its place that alone, of an order or saga everything."""
    facts, place = case.known, case.place
    is_its: Callable[[Place | None], bool] = (lambda other: True) if place is None else (lambda other: other == place)
    changes = [_of_change(row, facts) for row in facts.changes if is_its(_place_of_change(row))]
    topic = case.settings.commands_topic
    others = [_of_fact(row, case) for row in facts.unfulfilled if row.outcome and is_its(_place_of_fact(row, topic))]
    return [*changes, *others]


def _of_change(row: Row[Any], facts: Facts) -> LastWord:
    moved = f"from {row.from_status} to {row.to_status}" if row.from_status else f"as {row.to_status}"
    what = f"order {row.order_id} was {row.kind} {moved}, version {row.version}, over {row.door}"
    repeats = [each for each in facts.unfulfilled if each.repeats and _is_of(row, each)]
    again = (repeats[0].repeats, repeats[0].repeated_at) if repeats else (0, None)
    return LastWord(row.created_at, what, None, _place_of_change(row), row.change_id, row.order_id, *again)


def _of_fact(row: Row[Any], case: Case) -> LastWord:
    code = None if row.outcome == "unchanged" else row.outcome
    about = f" of order {row.order_id}" if row.order_id else ""
    place = _place_of_fact(row, case.settings.commands_topic)
    seen = case.command
    event_id = seen.event_id if seen is not None and seen.hash == bytes(row.hash) else None
    what = f"{row.type}{about} {_outcome(row)}"
    key = row.order_id or row.correlation_id
    return LastWord(row.created_at, what, code, place, event_id, key, row.repeats or 0, row.repeated_at)


def _outcome(row: Row[Any]) -> str:
    return "changed nothing: it was so already" if row.outcome == "unchanged" else f"was refused with {row.outcome}"


def _is_of(change: Row[Any], fact: Row[Any]) -> bool:
    """Tell whether a change was made by the command that the fact is of, whose own place is not kept then."""
    return fact.outcome is None and (change.order_id, change.correlation_id) == (fact.order_id, fact.correlation_id)


def _place_of_change(row: Row[Any]) -> Place | None:
    return None if row.source_topic is None else Place(row.source_topic, row.source_partition, row.source_offset)


def _place_of_fact(row: Row[Any], topic: str) -> Place | None:
    return None if row.partition is None else Place(topic, row.partition, row.offset)


def _place(row: Row[Any]) -> Place:
    return Place(row.topic, row.partition, row.offset)
