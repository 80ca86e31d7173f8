"""Who a credential belongs to: API keys, tokens, or both, as AUTH_MODE has it."""

from typing import Protocol

from app.models.api_keys import PREFIX
from app.models.callers import Caller
from app.models.errors import Unauthenticated


class Verifier(Protocol):
    """Knows one kind of credential. `verify` runs on the loop, so it must not wait: what it needs, threads prepare."""

    def verify(self, credential: str) -> Caller:
        """Return who the credential belongs to.

        Raises Unauthenticated with a sentence that shows nothing of the credential, and DatabaseTrouble where that
        cannot be told now.
        """


class Access:
    """The verifiers in use, at least one. What does not begin as an API key does is taken for a token."""

    def __init__(self, api_keys: Verifier | None = None, tokens: Verifier | None = None) -> None:
        self._api_keys = api_keys
        self._tokens = tokens

    def verify(self, credential: str) -> Caller:
        """As `Verifier.verify`, for either kind."""
        verifier = self._api_keys if credential.startswith(PREFIX) else self._tokens
        if verifier is None:
            raise Unauthenticated(f"Send {'an API key' if self._tokens is None else 'a token'} as the credential")
        return verifier.verify(credential)
