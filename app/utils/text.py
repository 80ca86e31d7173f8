"""Sentences for people."""

MAX_SENTENCE = 200


def clip(sentence: str) -> str:
    """Return the sentence, cut to 200 characters: callers keep it in a column of 255 with a prefix of their own."""
    return sentence if len(sentence) <= MAX_SENTENCE else sentence[: MAX_SENTENCE - 1] + "…"
