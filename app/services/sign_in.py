"""Signing in to the console: a credential is shown once, and a session goes on without it.

A session of an API key names the key and lasts as long as the key is valid. A session of a token has the caller's name
and scopes, and ends with the token. Neither holds the credential.
"""

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.models.api_keys import PREFIX, ApiKey, id_in
from app.models.callers import Caller, Scope
from app.models.errors import Unauthenticated
from app.services.api_keys import ApiKeys

if TYPE_CHECKING:
    from app.services.jwt_verifier import JwtVerifier

SESSION_SECONDS = 8 * 3600

_OVER = "The session is over: sign in again"


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says. `until`: in seconds of Unix time. A key's session has its id and a print of it instead of
    name and scopes."""

    until: float
    key_id: str = ""
    key_print: str = ""
    name: str = ""
    scopes: tuple[str, ...] = ()


class SignIn:
    """Begins sessions, and tells whose they are. Its methods do not wait."""

    def __init__(self, api_keys: ApiKeys | None, tokens: "JwtVerifier | None") -> None:
        """None: not a credential here."""
        self._api_keys = api_keys
        self._tokens = tokens

    @property
    def takes(self) -> str:
        """What can be shown, for a person."""
        ways = [("an API key", self._api_keys), ("a token (JWT)", self._tokens)]
        return " or ".join(name for name, verifier in ways if verifier is not None)

    def begin(self, credential: str) -> Session:
        """Return a session for the credential. Raises Unauthenticated and DatabaseTrouble."""
        until = time.time() + SESSION_SECONDS
        if credential.startswith(PREFIX) and self._api_keys is not None:
            self._api_keys.verify(credential)
            key = self._api_keys.holder(id_in(credential))
            return Session(until, key.id, _print_of(key))
        if not credential.startswith(PREFIX) and self._tokens is not None:
            caller = self._tokens.verify(credential)
            until = min(until, self._tokens.expires_at(credential))
            return Session(until, name=caller.name, scopes=tuple(sorted(caller.scopes)))
        raise Unauthenticated(f"Sign in with {self.takes}")

    def caller(self, session: Session) -> Caller:
        """Return whose session it is. Raises Unauthenticated where it is over, and DatabaseTrouble."""
        if session.until <= time.time():
            raise Unauthenticated(_OVER)
        if not session.key_id:
            if self._tokens is None:
                raise Unauthenticated(_OVER)
            return Caller(session.name, frozenset(map(Scope, session.scopes)))
        if self._api_keys is None:
            raise Unauthenticated(_OVER)
        key = self._api_keys.holder(session.key_id)
        if _print_of(key) != session.key_print:  # another key has the id by now
            raise Unauthenticated(_OVER)
        return key.caller


def _print_of(key: ApiKey) -> str:
    """Return a mark of the key that tells nothing of it, nor of the digest that is stored."""
    return hashlib.sha256(b"console" + key.digest).hexdigest()[:16]
