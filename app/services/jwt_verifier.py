"""A JSON Web Token -> the caller that it names. Verifying waits for nothing: neither the provider nor PostgreSQL.

A verified token is remembered, by its SHA-256, for CACHE_SECONDS at most and as long as the keys stay the same. What is
refused is not remembered. A token is valid until it expires: nobody can take a single one back before.
"""

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jwt
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from app.config.security_groups import JwtSettings
from app.models.callers import Caller, Scope
from app.models.errors import Refused, TokensUnverifiable, Unauthenticated
from app.services.jwks import ProviderKeys
from app.services.key_set import KeySet
from app.wire.decoder import decode

MAX_CHARACTERS = 8 * 1024
CACHE_SECONDS = 60.0
MAX_CACHED = 10_000
LONGEST_NAME = 255

_NOT_VALID = "The token is not valid"
_UNKNOWN_KEY = "The token is signed with a key that the service does not know"
_SENTENCES: Mapping[type[PyJWTError], str] = {
    jwt.ExpiredSignatureError: "The token has expired",
    jwt.ImmatureSignatureError: "The token is not valid yet",
    jwt.InvalidAudienceError: "The token is for another audience",
    jwt.InvalidIssuerError: "The token comes from another issuer",
    jwt.MissingRequiredClaimError: "The token must have the claims exp, iss and aud",
}
_SCOPES = {scope.value: scope for scope in Scope}


class _Verified(NamedTuple):
    caller: Caller
    until: float  # by the clock
    keys: KeySet  # that verified it: others may lack the key


class JwtVerifier:
    """Verifies tokens for one process, from any thread."""

    def __init__(self, settings: JwtSettings, keys: ProviderKeys, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()  # held for a few dictionary calls only
        self._verified: dict[bytes, _Verified] = {}  # by SHA-256, the oldest first

    def verify(self, credential: str) -> Caller:
        """Return the token's caller. Raises Unauthenticated; TokensUnverifiable while there are no keys at all."""
        if len(credential) > MAX_CHARACTERS or not credential.isascii():
            raise Unauthenticated(_NOT_VALID)
        digest = hashlib.sha256(credential.encode()).digest()
        known = self._verified.get(digest)
        if known is not None and known.until > self._clock() and known.keys is self._keys.current:
            return known.caller
        algorithm, key_id = _header(credential)
        keys = self._keys.current
        if keys is None:
            raise TokensUnverifiable("Tokens cannot be verified at the moment; please try again")
        claims = self._claims(credential, self._key(keys, key_id, algorithm))
        caller = Caller(self._name(claims), self._scopes(claims))
        expires = int(claims["exp"]) + self._settings.jwt_leeway_seconds
        self._remember(digest, _Verified(caller, min(expires, self._clock() + CACHE_SECONDS), keys))
        return caller

    def expires_at(self, credential: str) -> float:
        """Return when a token that `verify` has just found good is over, by the clock."""
        claims: Any = decode(_from_base64(credential.split(".")[1]))
        return float(int(claims["exp"]) + self._settings.jwt_leeway_seconds)

    def _key(self, keys: KeySet, key_id: str | None, algorithm: str) -> PyJWK:
        if algorithm not in self._settings.jwt_algorithms:
            raise Unauthenticated(_NOT_VALID)
        key = keys.find(key_id, algorithm)
        if key is None:
            self._keys.ask()
            raise Unauthenticated(_UNKNOWN_KEY)
        return key

    def _claims(self, credential: str, key: PyJWK) -> dict[str, Any]:
        """Return what a token says whose signature and registered claims are good."""
        if not _is_signed(credential, key):
            raise Unauthenticated(_NOT_VALID)
        try:
            return jwt.decode(
                credential,
                key,
                [key.algorithm_name],
                {"require": ["exp", "iss", "aud"]},
                issuer=self._settings.jwt_issuer,
                audience=self._settings.jwt_audience,
                leeway=self._settings.jwt_leeway_seconds,
            )
        except PyJWTError as error:
            raise Unauthenticated(_SENTENCES.get(type(error), _NOT_VALID)) from None

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = _claim(claims, self._settings.jwt_name_claim)
        if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip():
            return name
        raise Unauthenticated(f"The token names no caller in its claim {self._settings.jwt_name_claim}")

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        """Those of the service; whatever else the claim has means nothing here."""
        found = _claim(claims, self._settings.jwt_scopes_claim)
        names = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
        return frozenset(_SCOPES[name] for name in names if isinstance(name, str) and name in _SCOPES)

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        with self._lock:
            self._verified.pop(digest, None)
            self._verified[digest] = verified
            while len(self._verified) > MAX_CACHED:
                del self._verified[next(iter(self._verified))]


def _header(credential: str) -> tuple[str, str | None]:
    """Return the algorithm and the id of the key, which nobody has vouched for. Raises Unauthenticated.

    Every other member is ignored (a token does not say where its key is), but for `crit`, which forbids that.
    """
    try:
        header = decode(_from_base64(credential.partition(".")[0])) if credential.count(".") == 2 else None
    except (ValueError, Refused):
        header = None
    if not isinstance(header, dict) or "crit" in header:
        raise Unauthenticated(_NOT_VALID)
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(key_id, str | None):
        raise Unauthenticated(_NOT_VALID)
    return algorithm, key_id


def _is_signed(credential: str, key: PyJWK) -> bool:
    """Tell whether the signature is the key's.

    PyJWT looks at each character of a token in Python before the signature: a forged one of 7 KiB would cost the loop
    225 us; so it costs 21 (2026-11-29). A good one is verified once more by PyJWT, with its claims.
    """
    signed, _, signature = credential.rpartition(".")
    try:
        return key.Algorithm.verify(signed.encode(), key.key, _from_base64(signature))
    except ValueError:
        return False


def _from_base64(text: str) -> bytes:
    """Raises ValueError."""
    return base64.urlsafe_b64decode(text + "==")


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or by its path such as `realm_access.roles`; None if it is not there."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
