"""Sentences that people read."""

from collections.abc import Iterable

MAX_SENTENCE = 200


def clip(sentence: str) -> str:
    """Return the sentence, cut to 200 characters: callers store it with a prefix in a column of 255."""
    return sentence if len(sentence) <= MAX_SENTENCE else sentence[: MAX_SENTENCE - 1] + "…"


def loggable(path: str) -> str:
    """Return a path as the log may show it: its first part. A caller may put a person's id into the others."""
    first, slash, _ = path[1:].partition("/")
    return f"/{first}/…" if slash else path


def counted(number: int, noun: str) -> str:
    """Return the number with its noun: `1 event`, `2 events`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(found: Iterable[object]) -> str:
    """Return them with commas."""
    return ", ".join(map(str, found))
