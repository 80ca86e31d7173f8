"""What the console is made of, and whoever looks at it."""

from dataclasses import dataclass
from typing import cast

from flask import current_app, g

from app.config.config import Settings
from app.models.callers import Caller, Scope
from app.services.console_secrets import ConsoleSecrets
from app.services.sign_in import SignIn
from app.services.strip import Strip

ANYBODY = "nobody is asked"


@dataclass(frozen=True, slots=True)
class Parts:
    """Of one process. `sign_in`: None where nobody is asked who they are."""

    settings: Settings
    strip: Strip
    secrets: ConsoleSecrets
    sign_in: SignIn | None

    @property
    def writes(self) -> bool:
        """Whether acts are possible here."""
        return self.settings.console_mode == "rw"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks. `caller`: None where nobody is asked."""

    caller: Caller | None = None

    @property
    def name(self) -> str:
        """The name for lines of audit."""
        return self.caller.name if self.caller else f"console ({ANYBODY})"

    def may(self, scope: Scope) -> bool:
        """Tell whether the visitor has the scope."""
        return self.caller is None or self.caller.may(scope)


class Refusal(Exception):
    """The console does not do this; `str()` is a sentence for the page."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def parts() -> Parts:
    """Return those of the app."""
    return cast(Parts, current_app.extensions["console"])


def visitor() -> Visitor:
    """Return who sent the request. Before sign-in nobody did, and `g` has no visitor."""
    return cast(Visitor, g.visitor)


def require(scope: Scope) -> None:
    """Raise Refusal unless the visitor has the scope. Every page needs `orders:read` without asking for it."""
    if not visitor().may(scope):
        raise Refusal(403, f"This needs the scope {scope}, which {visitor().name} does not have.")
