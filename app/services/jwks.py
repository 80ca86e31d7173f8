"""The public keys of the identity provider: fetched in the background, the last good ones kept for ever.

Verifying a token never waits for the provider. A token under an unknown key id only asks the thread to look, at most
every COOL_DOWN_SECONDS, whoever asks and however often. Decision 20 says why this is not PyJWT's client.
"""

import logging
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from app.models.errors import Refused
from app.services.jwks_fetch import FetchError, fetch
from app.utils.alarms import Alarms
from app.utils.logging import Repeats
from app.utils.supervisor import Beat
from app.wire.decoder import decode

log = logging.getLogger(__name__)

FETCH_SECONDS = 5.0
COOL_DOWN_SECONDS = 10.0  # from the begin of one attempt to the next one, after a failure or for an unknown key
REFRESH_SECONDS = 45.0  # with a fetch it is less than a minute until a new key counts and a withdrawn one does not
OLD_SECONDS = 300.0  # without a good answer: then a person should look
LOOK_SECONDS = 0.25
MAX_KEYS = 100
RSA_BITS = range(2048, 8192 + 1)
JWKS = "jwks"
"""The name of the thread, of its part in /readyz and of its alarm."""

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


class ProviderKeys:
    """The keys of one process. `run` is the work of the thread; the rest may be called from any and returns at once."""

    def __init__(self, url: str, ca_file: str, algorithms: Collection[str], alarms: Alarms) -> None:
        self._url = url
        self._ca_file = ca_file
        self._algorithms = algorithms
        self._alarms = alarms
        self._repeats = Repeats()
        self._document = b""
        self._attempted_at: float | None = None
        self._good_at: float | None = None
        self._failure: str | None = None
        self._is_wanted = False
        self.current: KeySet | None = None
        """The last good keys, None before the first. Another object means other keys."""

    def ask(self) -> None:
        """Ask the thread to fetch, because a token names a key that is not there."""
        self._is_wanted = True

    def part(self) -> dict[str, Any]:
        """Return what /readyz shows."""
        age = None if self._good_at is None else round(time.monotonic() - self._good_at, 1)
        keys = 0 if self.current is None else len(self.current.keys)
        return {"ok": self._failure is None and keys > 0, "keys": keys, "seconds_old": age, "reason": self._failure}

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Fetch whenever it is due, until `stop`."""
        while not stop.is_set():
            beat()
            self.step(time.monotonic())
            stop.wait(LOOK_SECONDS)

    def step(self, now: float) -> None:
        """Fetch once, if that is due at the monotonic time `now`. Blocks for FETCH_SECONDS."""
        pause = COOL_DOWN_SECONDS if self._is_wanted or self._failure is not None else REFRESH_SECONDS
        if self._attempted_at is not None and now - self._attempted_at < pause:
            return
        self._attempted_at = now
        self._is_wanted = False  # before the fetch: who asks meanwhile may want a newer document
        try:
            self._take(fetch(self._url, self._ca_file, FETCH_SECONDS))
        except (FetchError, UnusableKeys) as error:
            self._fail(str(error), now)
        else:
            self._good_at, self._failure = now, None
            self._alarms.clear(JWKS)

    def _take(self, document: bytes) -> None:
        if document != self._document:
            self.current = parse(document, self._algorithms)
            self._document = document
            log.info("tokens are verified by %s keys of JWT_JWKS_URL", len(self.current.keys))

    def _fail(self, reason: str, now: float) -> None:
        self._failure = reason
        self._repeats.say(log, logging.WARNING, f"JWT_JWKS_URL gave no keys: {reason}")
        if self._good_at is None:
            self._alarms.ring(
                JWKS,
                f"JWT_JWKS_URL has given no keys since the start, requests with a token are answered 503: {reason}",
            )
        elif now - self._good_at >= OLD_SECONDS:
            minutes = OLD_SECONDS / 60
            self._alarms.ring(
                JWKS,
                f"JWT_JWKS_URL has given no keys for over {minutes:g} minutes, the last good ones are used: {reason}",
            )


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
