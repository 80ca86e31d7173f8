"""Commands that nobody could read or handle: dead letters by their cause, and commands that were given up."""

from dataclasses import replace

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.console.blueprint import console
from app.console.helpers import act, render
from app.console.parts import parts
from app.console.records import chosen, text_of
from app.operations import dead_letter_groups, given_up

MOST = 50


@console.get("/commands")
def commands() -> Response:
    """All causes, and the newest commands that were given up."""
    settings = parts().settings
    found, given = dead_letter_groups.grouped(settings), given_up.find(settings, limit=MOST + 1)
    discarded = request.args.get("discarded", type=int)
    return render("commands", live="_commands", found=found, given_up=given, most=MOST, discarded=discarded)


@console.get("/commands/given-up/<int:command_id>")
def given_up_command(command_id: int) -> Response:
    """One command that was given up, with its bytes for those who may see persons."""
    found = given_up.show(parts().settings, command_id)
    return render("given_up", found=found, key=text_of(found.key), value=text_of(found.value))


@console.post("/commands/given-up/discard")
def discard_given_up() -> AnyResponse:
    """Discard these, all or none; then show what is left."""
    operator, reason = act()
    done = given_up.discard(replace(operator, reason=reason), chosen(request.form))
    return redirect(url_for("console.commands", discarded=len(done)), 303)
