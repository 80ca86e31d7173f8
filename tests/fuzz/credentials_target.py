"""Credentials: forged ones, signed ones that say anything, and the keys of a provider that publishes anything.

The first byte says what the rest is: a credential, the header of a token, what a good key has signed, or a JWKS.
"""

import functools
from collections.abc import Callable
from contextlib import suppress

from app.config.config import Settings
from app.models.api_keys import is_whole
from app.models.callers import Caller, Scope
from app.models.errors import Unauthenticated
from app.services.jwks import ProviderKeys
from app.services.jwt_verifier import JwtVerifier
from app.services.key_set import UnusableKeys, parse
from app.utils.alarms import Alarms
from tests.fuzz.checks import check_sentence
from tests.harness.provider import ALGORITHMS, AUDIENCE, ISSUER, jwks, segment, signer

SIGNER = signer("EdDSA", "k")


@functools.cache
def verifier() -> JwtVerifier:
    """One that knows the signer's key."""
    keys = ProviderKeys("https://provider.example", "", ALGORITHMS, Alarms())
    keys.current = parse(jwks(SIGNER), ALGORITHMS)
    return JwtVerifier(Settings.load({"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}), keys)


def credentials(data: bytes) -> None:
    """Take the bytes for a credential. Raises AssertionError, or what the service would raise."""
    if data:
        KINDS[data[0] % len(KINDS)](data[1:])


def _credential(rest: bytes) -> None:
    text = rest.decode("latin-1")
    assert not is_whole(text) or text.startswith("ok_")
    assert _caller(text) is None


def _header(rest: bytes) -> None:
    _, payload, signature = SIGNER.token().split(".")
    assert _caller(f"{segment(rest)}.{payload}.{signature}") is None


def _signed(rest: bytes) -> None:
    caller = _caller(SIGNER.sign(rest, {"kid": SIGNER.kid}))
    if caller is not None:
        assert 1 <= len(caller.name) <= 255
        assert caller.name.isprintable()
        assert caller.scopes <= set(Scope)


def _keys(rest: bytes) -> None:
    with suppress(UnusableKeys):
        assert parse(rest, ALGORITHMS).keys


def _caller(credential: str) -> Caller | None:
    try:
        return verifier().verify(credential)
    except Unauthenticated as refusal:
        check_sentence(refusal.code, str(refusal))
        return None


KINDS: tuple[Callable[[bytes], None], ...] = (_credential, _header, _signed, _keys)
