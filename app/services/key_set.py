"""A JWKS -> the keys that may verify a token. Whatever is unfit is left out with a line in the log."""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from app.models.errors import Refused
from app.wire.decoder import decode

log = logging.getLogger(__name__)

MAX_KEYS = 100
RSA_BITS = range(2048, 8192 + 1)

_ALGORITHM_OF = {"RSA": "RS256", "EC P-256": "ES256", "OKP Ed25519": "EdDSA"}
"""By the kind of a key, the one algorithm that it may verify: a token cannot choose another one."""


class UnusableKeys(Exception):
    """The document has no key that may verify a token; the sentence says why."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one document."""

    keys: tuple[PyJWK, ...]
    by_id: dict[tuple[str, str], PyJWK] = field(init=False)

    def __post_init__(self) -> None:
        named = {(key.key_id, key.algorithm_name): key for key in reversed(self.keys) if key.key_id is not None}
        object.__setattr__(self, "by_id", named)

    def find(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        """Return the key for the algorithm with this id; without an id the only key for it, if there is just one."""
        if key_id is not None:
            return self.by_id.get((key_id, algorithm))
        fitting = [key for key in self.keys if key.algorithm_name == algorithm]
        return fitting[0] if len(fitting) == 1 else None


def parse(document: bytes, algorithms: Collection[str]) -> KeySet:
    """Return the usable keys of a JWKS; logs each that is left out. Raises UnusableKeys if there is none."""
    try:
        found = decode(document)
    except Refused as refused:
        raise UnusableKeys(f"it is no JWKS: {refused}") from None
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list):
        raise UnusableKeys("it is no JWKS: it has no list of keys")
    if len(keys) > MAX_KEYS:
        raise UnusableKeys(f"it has more than {MAX_KEYS} keys")
    usable = tuple(_usable(keys, algorithms))
    if not usable:
        raise UnusableKeys(f"none of its {len(keys)} keys may verify a token")
    return KeySet(usable)


def _usable(keys: list[Any], algorithms: Collection[str]) -> Iterator[PyJWK]:
    for number, jwk in enumerate(keys, 1):
        try:
            yield _key(jwk, algorithms)
        except UnusableKeys as reason:
            log.warning("key %s of JWT_JWKS_URL is not used: %s", number, reason)


def _key(jwk: Any, algorithms: Collection[str]) -> PyJWK:
    """Raises UnusableKeys."""
    if not isinstance(jwk, dict):
        raise UnusableKeys("it is no JSON object")
    jwk = {name: value for name, value in jwk.items() if value is not None}
    algorithm = _ALGORITHM_OF.get(f"{jwk.get('kty')} {jwk.get('crv', '')}".strip())
    if algorithm is None:
        raise UnusableKeys(f"it is no key for {', '.join(_ALGORITHM_OF.values())}")
    if algorithm not in algorithms:
        raise UnusableKeys(f"{algorithm} is not in JWT_ALGORITHMS")
    if jwk.get("alg", algorithm) != algorithm or jwk.get("use", "sig") != "sig":
        raise UnusableKeys(f"it is not for signatures by {algorithm}")
    if "key_ops" in jwk and (not isinstance(jwk["key_ops"], list) or "verify" not in jwk["key_ops"]):
        raise UnusableKeys("its key_ops do not have verify")
    if not isinstance(jwk.get("kid", ""), str):
        raise UnusableKeys("its kid is no text")
    if "d" in jwk:
        raise UnusableKeys("it is a PRIVATE key: whoever reads the document can make tokens")
    try:
        key = PyJWK(jwk, algorithm)
    except PyJWTError as error:
        raise UnusableKeys(f"it cannot be read ({type(error).__name__})") from None
    if algorithm == "RS256" and key.key.key_size not in RSA_BITS:
        raise UnusableKeys(f"it has {key.key.key_size} bits, not {RSA_BITS.start} to {RSA_BITS.stop - 1}")
    return key
