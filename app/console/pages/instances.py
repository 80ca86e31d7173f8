"""The processes of the service, and how the parts of each are."""

from flask import Response

from app.console.blueprint import console
from app.console.helpers import render
from app.console.parts import parts
from app.operations import instances as operation
from app.services.presence import LOST_SECONDS, SILENT_SECONDS


@console.get("/instances")
def instances() -> Response:
    """All that told of themselves within a day."""
    found = operation.find(parts().settings)
    return render("instances", live="_instances", instances=found, silent=SILENT_SECONDS, lost=LOST_SECONDS)
