"""A move of an order: first what it would do, then, for just the version that was shown, the move itself."""

from collections.abc import Mapping
from functools import partial

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.console.blueprint import console
from app.console.helpers import act, masked, render
from app.console.parts import Refusal, parts
from app.console.persons import masked_json, told
from app.models.operator_errors import NotFound, NotPossible
from app.operations.moves import Parameter, Simulation, carry_out, simulate
from app.operations.possible_moves import HTTP_MOVES, MODELS, parameters

MOST_LETTERS = 255


@console.get("/simulate/<path:order_id>", endpoint="simulate")
def look(order_id: str) -> Response:
    """Ask for what the move takes, and show what it would do."""
    return _page(order_id, request.args.get("move", ""), request.args)


@console.post("/do/<path:order_id>", endpoint="do")
def carry(order_id: str) -> AnyResponse:
    """Carry out the move for the version that was shown, or nothing; then show the order."""
    operator, reason = act()
    move, version = request.form.get("move", ""), request.form.get("version", type=int)
    if version is None:
        raise Refusal(400, "The form does not say which version of the order was shown.")
    takes = _parameters(move)
    try:
        done = carry_out(operator, order_id, move, _values(takes, request.form), version=version, reason=reason)
    except NotPossible as refusal:
        return _page(order_id, move, request.form, refused=str(refusal))
    return redirect(url_for("console.order", order_id=order_id, after=done.version), 303)


def _page(order_id: str, move: str, given: Mapping[str, str], *, refused: str = "") -> Response:
    takes = _parameters(move)
    values = _values(takes, given)
    found: Simulation | None = None
    if all(parameter.name in values for parameter in takes if parameter.is_required):
        found = simulate(parts().settings, order_id, move, values)
    return render(
        "simulate",
        409 if refused else 200,
        order_id=order_id,
        move=move,
        can_be_done=move in HTTP_MOVES,
        takes=takes,
        values=values,
        found=found,
        event="" if found is None or found.event is None else masked_json(found.event, masked),
        answer="" if found is None or found.body is None else masked_json(found.body, masked),
        refused=refused,
        told=partial(told, mask=masked),
    )


def _parameters(move: str) -> list[Parameter]:
    """Return what the move takes. Raises NotFound if there is no such move."""
    if move not in MODELS:
        raise NotFound(f"There is no move {move!r}.")
    return parameters(MODELS[move])


def _values(takes: list[Parameter], given: Mapping[str, str]) -> dict[str, str]:
    """Return what was given of that; a field that was left empty was not given."""
    named = {parameter.name: given.get(parameter.name, "").strip()[:MOST_LETTERS] for parameter in takes}
    return {name: value for name, value in named.items() if value}
