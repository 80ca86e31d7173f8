"""Orders that wait: how long each has been in its status, beside the time that is usual there."""

from functools import partial

from flask import Response

from app.console.asked import asked
from app.console.blueprint import console
from app.console.helpers import render
from app.console.parts import parts
from app.operations.waits import waits as operation

MOST = 100


@console.get("/waits")
def waits() -> Response:
    """The statuses, and the orders that wait for longest."""
    asking = asked(partial(operation, parts().settings, limit=MOST))
    return render("waits", live="_waits", trouble=asking.trouble, waits=asking.found)
