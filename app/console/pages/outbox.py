"""The outbox and the relay: what waits by lane, who leads, what rings, and what only a person decides.

An act waits for the lease of its lane for some seconds; then a page shows what the tables say of its event.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from flask import Response, current_app, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.console.asked import asked
from app.console.blueprint import console
from app.console.helpers import act, render
from app.console.parts import Refusal, parts
from app.operations import dead_letters, event_readers, lost_events, outbox, relay_look
from app.operations.audit import Operator
from app.operations.transaction import hurried
from app.utils.alarms import Alarm, Alarms

ALARMS = ("events", "dead_letters", "relay", "broker", "topic", "partitions_without", "kafka", "database_read_only")
"""What the names begin with of alarms that say why a lane stands."""
LEASE_LIMITS = (8, 1000)  # the console answers within 9 s
MOST_LETTERS = 100
_ID = re.compile("[0-9]{1,18}")


@console.get("/outbox", endpoint="outbox")
def outbox_page() -> Response:
    """Both lanes, and what Kafka refuses, what is out, what is lost."""
    asking = asked(partial(relay_look.look, parts().settings))
    return render("outbox", live="_outbox", trouble=asking.trouble, look=asking.found, alarms=_alarms())


@console.get("/outbox/readers", endpoint="readers")
def readers_page() -> Response:
    """Which groups read the events, as Kafka tells it now."""
    asking = asked(partial(event_readers.readers, parts().settings))
    return render("readers", live="_readers", trouble=asking.trouble, found=asking.found)


@console.post("/outbox/take-out")
def take_out() -> AnyResponse:
    """Take a refused event out."""
    with hurried(*LEASE_LIMITS):
        taken = outbox.take_out(_operator(), _number("id"))
    return _to(taken.event_id)


@console.post("/outbox/put-back")
def put_back() -> AnyResponse:
    """Put an event back that was taken out."""
    with hurried(*LEASE_LIMITS):
        back = outbox.put_back(_operator(), _number("id"))
    return _to(back.event_id)


@console.post("/outbox/retry")
def retry() -> AnyResponse:
    """Offer refused dead letters to their topic again."""
    renewed = dead_letters.retry(_operator(), _letters())
    return redirect(url_for("console.offered_letters", ids=",".join(map(str, renewed))), 303)


@console.post("/outbox/announce-again")
def announce_again() -> AnyResponse:
    """Announce all lost events again."""
    lost_events.announce_again(_operator())
    return redirect(url_for("console.outbox", _anchor="lost-events"), 303)


@console.get("/outbox/events/<uuid:event_id>")
def event_out(event_id: UUID) -> Response:
    """Where an event is that was taken out once."""
    event, waiting = relay_look.whereabouts(parts().settings, event_id)
    return render("event_out", live="_event_out", event=event, waiting=waiting)


@console.get("/outbox/letters")
def offered_letters() -> Response:
    """What became of dead letters that were offered again."""
    words = request.args.get("ids", "").split(",")
    ids = [int(word) for word in words[:MOST_LETTERS] if _ID.fullmatch(word)]
    found = relay_look.offered(parts().settings, ids)
    return render("offered_letters", live="_offered_letters", letters=found)


def _operator() -> Operator:
    operator, reason = act()
    return replace(operator, reason=reason)


def _to(event_id: UUID) -> AnyResponse:
    return redirect(url_for("console.event_out", event_id=event_id), 303)


def _number(name: str) -> int:
    """Return the number of the form; that of an event that is set aside is below zero. Raises Refusal."""
    text = request.form.get(name, "")
    if not _ID.fullmatch(text.removeprefix("-")):
        raise Refusal(400, f"The form has no number {name}.")
    return int(text)


def _letters() -> list[int]:
    """Return the ids of the form, as the page showed them. Raises Refusal."""
    words = request.form.get("ids", "").split()
    if not words or len(words) > MOST_LETTERS or not all(map(_ID.fullmatch, words)):
        raise Refusal(400, f"The form must have 1 to {MOST_LETTERS} ids of dead letters.")
    return list(map(int, words))


def _alarms() -> Sequence[Alarm]:
    alarms: Alarms = current_app.extensions["alarms"]
    return [alarm for alarm in alarms.open() if alarm.name.startswith(ALARMS)]
