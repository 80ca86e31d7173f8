"""What dead letters of one cause have in common."""

import pytest

from app.operations.dead_letter_groups import found_type, key_prefix, without_values


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("The command is not a JSON object", "The command is not a JSON object"),
        ("The command is larger than 131072 bytes", "The command is larger than … bytes"),
        ("offset 17 of 'orders-3' cannot be decoded", "offset … of … cannot be decoded"),
        ('"x" is no id: 0b8f3c1e-9a1b-4c6d-8e2f-001122334455', "… is no id: …"),
    ],
)
def test_a_reason_has_no_values(error: str, reason: str) -> None:
    assert without_values(error) == reason


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        (None, None),
        (b"", ""),
        (b"order-17", "order-"),
        (b"shop:order:17", "shop:order:"),
        (b"0b8f3c1e-9a1b-4c6d-8e2f-001122334455", ""),
        (b"\xff\x00-1", ""),
        (b"customer", ""),
    ],
)
def test_a_key_is_known_by_its_first_words(key: bytes | None, prefix: str | None) -> None:
    assert key_prefix(key) == prefix


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, None),
        (b"\xff{", None),
        (b'{"type": "create_order", "payload": {"type": "x"', "create_order"),
        (b'{"payload": {}, "type" :"shop.created"}', "shop.created"),
        (b'{"type": 7}', None),
    ],
)
def test_a_type_is_found_in_bytes_that_are_no_json(value: bytes | None, kind: str | None) -> None:
    assert found_type(value) == kind
