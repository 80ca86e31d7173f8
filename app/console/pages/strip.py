"""The status strip alone, as htmx refreshes it."""

from flask import Response

from app.console.blueprint import console
from app.console.helpers import render
from app.console.parts import parts


@console.get("/strip")
def strip() -> Response:
    """The strip; without htmx a page that has nothing else."""
    return render("strip", live="_strip", lights=parts().strip.lights())
