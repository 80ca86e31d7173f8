"""An order: where it is, what happened to it, and what may be done to it now."""

from functools import partial

from flask import Response, request

from app.console.blueprint import console
from app.console.helpers import masked, render
from app.console.order_rows import rows, stops
from app.console.parts import parts
from app.console.persons import told
from app.operations.moves import moves
from app.operations.timeline import timeline
from app.operations.why import why


@console.get("/orders/<path:order_id>")
def order(order_id: str) -> Response:
    """The time line, from the tables alone. `log`: also where each record lies on its topic, and who has read it."""
    settings, with_log = parts().settings, "log" in request.args
    line = timeline(settings, order_id, with_log=with_log)
    return render(
        "order",
        live="_order",
        order=line.order,
        rows=rows(line.entries),
        stops=stops(line.order.order_status, line.entries),
        notes=line.notes,
        with_log=with_log,
        moves=moves(settings, order_id),
        told=partial(told, mask=masked),
        after=request.args.get("after", type=int),
    )


@console.get("/why/<path:some_id>", endpoint="why")
def why_it_waits(some_id: str) -> Response:
    """Why the order, saga or command waits: the chain of checks up to the first one that fails."""
    return render("why", live="_why", some_id=some_id, found=why(parts().settings, some_id))
