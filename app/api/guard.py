"""Who may call what. Both servers ask here before they call an endpoint, and so before its body is read.

With AUTH_MODE=off nobody is asked, and credentials that come are ignored.
"""

import logging
from collections.abc import Callable, Sequence

from app.api.requests import Request
from app.models.callers import Caller, Scope
from app.models.errors import Forbidden, ServiceError, Unauthenticated
from app.services.access import Verifier
from app.utils.logging import Repeats
from app.wire.codes import CODES

log = logging.getLogger(__name__)

MAX_CREDENTIAL = 8192

Header = Callable[[str], Sequence[str]]


class Guard:
    """Asks callers for their credential. Its methods do not wait."""

    def __init__(self, access: Verifier | None) -> None:
        """`access`: None where nobody is asked."""
        self._access = access
        self._repeats = Repeats()

    def admit(self, request: Request, scope: Scope | None) -> None:
        """Name the caller in the request. Raises Unauthenticated, Forbidden and DatabaseTrouble.

        `scope`: what the endpoint needs; None where it asks nobody.
        """
        if self._access is None or scope is None:
            return
        try:
            caller = self._access.verify(_credential(request.header))
            request.caller = caller.name
            _require(caller, scope)
        except (Unauthenticated, Forbidden) as refusal:
            self._log(request, refusal)
            raise

    def refusal(self, header: Header, scope: Scope | None) -> ServiceError | None:
        """Return what `admit` would raise, by the head of the request alone."""
        if self._access is None or scope is None:
            return None
        try:
            _require(self._access.verify(_credential(header)), scope)
        except ServiceError as refusal:
            return refusal
        return None

    def knows(self, request: Request, scope: Scope | None = None) -> bool:
        """Tell whether to show details: to a caller with a good credential, and with the scope if one is given.

        To everybody where nobody is asked.
        """
        if self._access is None:
            return True
        try:
            caller = self._access.verify(_credential(request.header))
        except ServiceError:
            return False
        request.caller = caller.name
        return scope is None or caller.may(scope)

    def _log(self, request: Request, refusal: ServiceError) -> None:
        """Log one line per minute for each kind of refusal: a flood of them must not fill the log."""
        left_out = self._repeats.admit(str(refusal))
        if left_out is not None:
            who = f"{request.caller}, from" if request.caller else "a caller from"
            more = f" ({left_out} more like this meanwhile)" if left_out else ""
            log.info("%s %s was refused: %s%s", who, request.address() or "nobody knows where", refusal, more)


def _require(caller: Caller, scope: Scope) -> None:
    if not caller.may(scope):
        raise Forbidden(scope)


def _credential(header: Header) -> str:
    """Return the credential of the one Authorization header. Raises Unauthenticated."""
    values = header("authorization")
    if not values:
        raise Unauthenticated(CODES["unauthorized"][1], came=False)
    if len(values) > 1:
        raise Unauthenticated("Send one Authorization header, not several")
    scheme, _, credential = values[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("The Authorization header must begin with Bearer")
    credential = credential.strip(" ")
    if not credential or len(credential) > MAX_CREDENTIAL or not credential.isascii() or " " in credential:
        raise Unauthenticated(f"Send Bearer and one credential of at most {MAX_CREDENTIAL} ASCII characters")
    return credential
