"""Persons and addresses in bytes that are JSON: masked like those of the page, everything else as it is."""

import re
from collections.abc import Callable

PERSONAL = (
    *("custId", "customerId", "customer_id", "runnerId", "runner_id", "orderDescription", "order_description"),
    *("deliveryLocation", "delivery_location", "cancelReason", "reason", "runner"),
)
"""Members that tell of a person; `app/models/personal.py` says why."""

_VALUE = re.compile(
    # A member's name, and its text; in JSON that stands as a text in other JSON each quotation mark has backslashes.
    rf'(?P<mark>\\*")(?P<name>{"|".join(PERSONAL)})(?P=mark):\s*(?P=mark)(?P<value>.*?)(?<!\\)(?P=mark)',
    re.DOTALL,
)


def masked_json(data: bytes, mask: Callable[[str], str]) -> str:
    """Return the bytes as text, the values of PERSONAL masked. Where it is in doubt, too much is masked."""

    def masked(found: re.Match[str]) -> str:
        whole, start = found[0], found.start("value") - found.start()
        value = mask(found["value"]) if found["value"] else ""
        return f"{whole[:start]}{value}{found['mark']}"

    return _VALUE.sub(masked, data.decode(errors="replace"))


def told(name: str, value: object, mask: Callable[[str], str]) -> str:
    """Return the value of a member as the page shows it."""
    if value is None or value == "":
        return "–"
    return mask(str(value)) if name in PERSONAL else str(value)
