"""The examples that the contract tests pin, with values in place of their placeholders."""

from functools import cache
from pathlib import Path
from typing import Any

from app.wire.decoder import decode

FILES = Path(__file__).resolve().parents[2] / "tests" / "contract" / "examples"
ORDER_ID = "01a20435-8cd0-7303-b4d3-9c5bde2f68e3"
CUSTOMER, RUNNER = "customer-1", "runner-7"  # as in the files

_VALUES = {
    "<order_id>": ORDER_ID,
    "<correlation_id>": "b1f8a0f6-33a5-4b1e-8f5e-5a3c3c1f1d11",
    "<event_id>": "01a20435-9f10-7b5a-8c55-1d8a3f0e9b21",
    "<time>": "2026-11-22T10:00:00.234567+00:00",
}


@cache
def example(name: str) -> Any:
    """Return the JSON value of an example file, such as `http/createOrder`. It is shared: do not change it."""
    text = (FILES / f"{name}.json").read_text()
    for placeholder, value in _VALUES.items():
        text = text.replace(placeholder, value)
    return decode(text.encode())
