"""Stored JSON without a person: answers and events as the service wrote them, and whether a record names somebody."""

import re
from collections.abc import Iterator
from typing import Any

from app.models.errors import Refused
from app.models.forgetting import GONE, NO_ITEMS, Person, Role
from app.wire.decoder import decode, decode_leniently, too_deep
from app.wire.encoder import encode

_IDS = {Role.CUSTOMER: ("custId", "customerId", "customer_id"), Role.RUNNER: ("runnerId", "runner_id")}
_WORDS = {"orderDescription": NO_ITEMS, "deliveryLocation": GONE, "cancelReason": None, "reason": GONE}
_AS_TEXT = "event"
"""The member of an event that has the order as JSON text [K12]."""


def names(data: bytes | None, person_id: str) -> bool:
    """Tell whether a record of anybody's names the person: as a whole string of its JSON, or, if it is none, as a word.

    An id of one letter stands in many records by chance; as a whole string it seldom does.
    """
    if not data:
        return False
    document = None if too_deep(data) else decode_leniently(data)
    if isinstance(document, dict | list):
        return person_id in _strings(document)
    word = re.escape(person_id.encode())
    return re.search(rb"(?<![\w-])" + word + rb"(?![\w-])", data) is not None


def without(data: bytes, person: Person, *, of_theirs: bool = False) -> bytes:
    """Return an answer or event of the service with the pseudonym in place of the id, and without a customer's words.

    `of_theirs`: it is about an order of theirs, also if it does not name them.
    """
    try:
        document = decode(data)
    except Refused:
        return data  # the service writes no such thing
    return encode(_without(document, person, of_theirs=of_theirs))


def _without(node: Any, person: Person, *, of_theirs: bool) -> Any:
    if isinstance(node, list):
        return [_without(item, person, of_theirs=of_theirs) for item in node]
    if not isinstance(node, dict):
        return node
    ids = _IDS[person.role]
    theirs = of_theirs or any(node.get(name) == person.id for name in ids)
    return {name: _member(name, value, person, theirs=theirs) for name, value in node.items()}


def _member(name: str, value: Any, person: Person, *, theirs: bool) -> Any:
    if name in _IDS[person.role]:
        return person.pseudonym if value == person.id else value
    if theirs and person.role is Role.CUSTOMER and name in _WORDS and value is not None:
        return _WORDS[name]
    if name == _AS_TEXT and isinstance(value, str):
        return without(value.encode(), person, of_theirs=theirs).decode()
    return _without(value, person, of_theirs=theirs)


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for name, value in node.items():
            yield name
            yield from _strings(value)
    elif isinstance(node, list):
        for item in node:
            yield from _strings(item)
