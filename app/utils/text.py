"""Sentences that people read."""

from collections.abc import Iterable

MAX_SENTENCE = 200


def clip(sentence: str) -> str:
    """Return the sentence, cut to 200 characters: callers store it with a prefix in a column of 255."""
    return sentence if len(sentence) <= MAX_SENTENCE else sentence[: MAX_SENTENCE - 1] + "…"


def listed(found: Iterable[object]) -> str:
    """Return them with commas."""
    return ", ".join(map(str, found))
