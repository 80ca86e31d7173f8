"""The header `traceparent`, as W3C Trace Context has it."""

import pytest

from app.wire.traces import is_traceparent, traceparent_of

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BAD = {
    "empty": "",
    "too short": GOOD[:-1],
    "too long": f"{GOOD}0",
    "end of line": f"{GOOD}\n",
    "another version": f"01{GOOD[2:]}",
    "upper case": GOOD.upper(),
    "trace is zero": f"00-{'0' * 32}-b7ad6b7169203331-01",
    "parent is zero": f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    "other digits": GOOD.replace("7", "\u0667"),
    "no hexadecimal": GOOD.replace("a", "g"),
}


def test_a_trace_is_taken_as_it_is() -> None:
    assert is_traceparent(GOOD)
    assert len(GOOD) == 55
    assert traceparent_of([("other", None), ("traceparent", GOOD.encode())]) == GOOD


@pytest.mark.parametrize("fault", BAD)
def test_what_is_malformed_names_no_trace(fault: str) -> None:
    assert not is_traceparent(BAD[fault])
    assert traceparent_of([("traceparent", BAD[fault].encode())]) is None


@pytest.mark.parametrize("values", [(), (None,), (GOOD.encode(), GOOD.encode()), (b"\xff" * 55,)])
def test_a_record_names_one_trace_or_none(values: tuple[bytes | None, ...]) -> None:
    assert traceparent_of([("traceparent", value) for value in values]) is None
