"""API keys: `ok_<id>_<secret><checksum>`.

The id finds the key, the secret has 256 bits, and the checksum tells a typo from a wrong key without a look-up, and a
key from other text for a scanner of secrets. Whoever keeps keys has the SHA-256 of the whole text, never the text: with
256 random bits nothing slower is needed.
"""

import hashlib
import re
import string
import zlib
from dataclasses import dataclass

from app.models.callers import Caller

PREFIX = "ok_"
ID_LETTERS = string.digits + string.ascii_lowercase
ID_LENGTH = 12
SECRET_BITS = 256
MOST_VALID = 1000
"""Valid keys at once: every process reads all of them each second."""

_SECRET_LETTERS = string.digits + string.ascii_letters
_SECRET_LENGTH = 43  # 62 ** 43 is just over 2 ** 256
_KEY = re.compile(rf"(ok_[0-9a-z]{{{ID_LENGTH}}}_[0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9a-f]{{8}})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What the service knows of a key. `digest`: the SHA-256 of its text; `expires_at`: in seconds of Unix time."""

    id: str
    digest: bytes
    caller: Caller
    expires_at: float | None = None


def text_of(key_id: str, secret: int) -> str:
    """Return the text of a key: what its owner sends. `secret`: a number of SECRET_BITS bits."""
    digits = ""
    for _ in range(_SECRET_LENGTH):
        secret, digit = divmod(secret, len(_SECRET_LETTERS))
        digits += _SECRET_LETTERS[digit]
    text = f"{PREFIX}{key_id}_{digits}"
    return text + _checksum(text)


def id_in(text: str) -> str:
    """Return what stands in the place of the id, whatever the text is."""
    return text[len(PREFIX) : len(PREFIX) + ID_LENGTH]


def is_whole(text: str) -> bool:
    """Tell whether the text has the shape of a key and its checksum: if not, it was copied wrongly."""
    found = _KEY.fullmatch(text)
    return found is not None and _checksum(found[1]) == found[2]


def digest_of(text: str) -> bytes:
    """Return the SHA-256 of the text of a key."""
    return hashlib.sha256(text.encode()).digest()


def is_id(text: str) -> bool:
    """Tell whether the text can be the id of a key."""
    return re.fullmatch(rf"[0-9a-z]{{{ID_LENGTH}}}", text) is not None


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
