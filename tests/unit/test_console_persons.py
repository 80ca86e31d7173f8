"""What the console shows of bytes with persons in them."""

import pytest

from app.console.persons import masked_json, told


def mask(value: str) -> str:
    return value[:2] + "…"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b'{"custId":"customer-1","foodFee":17.00}', '{"custId":"cu…","foodFee":17.00}'),
        (b'{"runner_id": "runner-7"}', '{"runner_id": "ru…"}'),
        (b'{"runnerId":null,"deliveryLocation":""}', '{"runnerId":null,"deliveryLocation":""}'),
        (rb'{"event":"{\"custId\":\"customer-1\",\"version\":3}"}', r'{"event":"{\"custId\":\"cu…\",\"version\":3}"}'),
        (rb'{"deliveryLocation":"the \"blue\" house","version":3}', '{"deliveryLocation":"th…","version":3}'),
        (
            rb'{"event":"{\"orderDescription\":\"[{\\\"name\\\":\\\"Burrito\\\"}]\",\"version\":3}"}',
            r'{"event":"{\"orderDescription\":\"[{…\",\"version\":3}"}',
        ),
    ],
)
def test_values_of_persons_are_masked_and_nothing_else(data: bytes, shown: str) -> None:
    assert masked_json(data, mask) == shown


def test_a_doubtful_end_masks_too_much() -> None:
    assert "customer-1" not in masked_json(rb'{"custId":"customer-1\\","b":"c"}', mask)


def test_a_member_tells_its_value_or_that_there_is_none() -> None:
    assert told("runnerId", "runner-7", mask) == "ru…"
    assert told("orderStatus", "PLACED", mask) == "PLACED"
    assert told("runnerId", None, mask) == "–"
