"""Which trace a request or a record belongs to, as its sender says: the header `traceparent` of W3C Trace Context."""

import re
from collections.abc import Iterable

TRACEPARENT = "traceparent"
_VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def is_traceparent(text: str) -> bool:
    """Tell whether the text is a traceparent of version 00: ids in lower case, none of them all zero."""
    return _VALID.fullmatch(text) is not None


def traceparent_of(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """Return the trace that a record names, None without one. One that is malformed, or one of several, is none."""
    sent = [value for name, value in headers if name == TRACEPARENT]
    if len(sent) != 1 or sent[0] is None:
        return None
    text = sent[0].decode("latin-1")  # which reads any byte
    return text if is_traceparent(text) else None
