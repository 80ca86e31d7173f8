"""The file of API keys (API_KEYS_FILE): a line per key, `id sha256 scopes name`.

Blanks separate the first three; the scopes are a comma list, and the name goes to the end of the line. Empty lines, and
those that begin with `#`, mean nothing.
"""

import re

from app.models.api_keys import ApiKey, is_id
from app.models.callers import MAX_NAME, Caller, Scope, is_name

_SHA256 = re.compile(r"[0-9a-f]{64}")


def parse(text: str) -> list[ApiKey]:
    """Return the keys of a file. Raises ValueError, which names a line and shows nothing of it."""
    found: dict[str, ApiKey] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                key = _key(line)
                if key.id in found:
                    raise ValueError("has an id that a line before has")
            except ValueError as error:
                raise ValueError(f"line {number} {error}") from None
            found[key.id] = key
    return list(found.values())


def line_of(key: ApiKey) -> str:
    """Return the line of a key."""
    return f"{key.id} {key.digest.hex()} {','.join(sorted(key.caller.scopes))} {key.caller.name}"


def scopes_of(text: str) -> frozenset[Scope]:
    """Return the scopes of a comma list. Raises ValueError, which shows nothing of the text."""
    try:
        return frozenset(map(Scope, text.split(",")))
    except ValueError:
        raise ValueError(f"has a scope that is none of {', '.join(Scope)}") from None


def _key(line: str) -> ApiKey:
    parts = line.split(maxsplit=3)
    if len(parts) < 4:
        raise ValueError("must have an id, a SHA-256, scopes and a name")
    key_id, digest, scopes, name = (part.strip() for part in parts)
    if not is_id(key_id):
        raise ValueError("has no id of a key at its beginning")
    if not _SHA256.fullmatch(digest):
        raise ValueError("has no SHA-256 in 64 hexadecimal digits behind its id")
    if not is_name(name):
        raise ValueError(f"must have a name of 1 to {MAX_NAME} printable characters")
    return ApiKey(key_id, bytes.fromhex(digest), Caller(name, scopes_of(scopes)))
