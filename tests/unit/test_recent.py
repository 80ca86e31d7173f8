"""Keys of late are remembered, in bounded memory."""

from app.utils.recent import Recent


def test_the_last_keys_are_known_and_old_ones_are_not() -> None:
    recent = Recent(100)
    for number in range(1000):
        recent.add(f"key {number}")
    known = [number for number in range(1000) if f"key {number}" in recent]
    assert known == list(range(known[0], 1000))
    assert 100 <= len(known) <= 200
