"""The JSON reader and the bodies: bytes -> JSON -> command -> decision -> answer."""

import uuid

import orjson

from app.models import rules
from app.models.commands import CreateOrder
from app.models.errors import Refused
from app.models.rules import Change, Decision
from app.wire.answers import AnswerForm
from app.wire.bodies import CHANGES, Body
from app.wire.decoder import MAX_DEPTH, decode, decode_leniently, too_deep
from app.wire.encoder import encode
from app.wire.events import http_event
from app.wire.fields import parse_body
from tests.fuzz.checks import check_refusal, check_storable
from tests.fuzz.orders import ORDERS, check_order
from tests.unit.builders import NOW

CHANGE_ID = uuid.UUID(int=1)
_MARK = b"\xef\xbb\xbf"


def decoder(data: bytes) -> None:
    """Read the bytes as the body of each POST. Raises AssertionError, or what the service would raise."""
    assert too_deep(data) == (_open_at_once(data) > MAX_DEPTH)
    if not too_deep(data):
        decode_leniently(data)
    try:
        value = decode(data)
    except Refused as refusal:
        _check_refused(data, refusal)
        return
    assert _reads_elsewhere(data)
    check_storable(value)
    written = encode(value)
    assert decode(written) == value
    assert encode(decode(written)) == written
    if isinstance(value, dict):
        for _, body_model, form in CHANGES:
            _carry_out(body_model, value, form)


def _check_refused(data: bytes, refusal: Refused) -> None:
    check_refusal(refusal.code, str(refusal))
    assert refusal.code != "invalid_json" or not _reads_elsewhere(data)


def _carry_out(body_model: type[Body], value: dict[str, object], form: AnswerForm) -> None:
    """Read the body, decide about each order, and write answer and event."""
    try:
        command = parse_body(body_model, value).command()
    except Refused as refusal:
        check_refusal(refusal.code, str(refusal))
        return
    if isinstance(command, CreateOrder):
        decisions: list[Decision] = [rules.create(command, "new", NOW)]
    else:
        check_storable(command.order_id)
        decisions = [rules.decide(order, command, NOW) for order in (None, ORDERS.get(command.order_id))]
    for decision in decisions:
        assert decode(form.answer(decision).body)
        if isinstance(decision, Change):
            check_order(decision.order)
            event = http_event(decision, CHANGE_ID, "c")
            assert event.payload is None or decode(event.payload)["payload"]["version"] == decision.order.version


def _open_at_once(data: bytes) -> int:
    """Return how many brackets are open at once, byte by byte."""
    deepest = depth = 0
    in_text = is_escaped = False
    for byte in data:
        if in_text:
            in_text = is_escaped or byte != ord('"')
            is_escaped = not is_escaped and byte == ord("\\")
        elif byte == ord('"'):
            in_text = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}" and depth:
            depth -= 1
    return deepest


def _reads_elsewhere(data: bytes) -> bool:
    """Tell whether another reader, orjson, takes the bytes too."""
    try:
        orjson.loads(data.removeprefix(_MARK))
    except orjson.JSONDecodeError:
        return False
    return True
