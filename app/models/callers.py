"""Who calls, and what a caller may do."""

from dataclasses import dataclass
from enum import StrEnum

MAX_NAME = 255


class Scope(StrEnum):
    """A right. An endpoint needs at most one; `operator` includes all others."""

    READ = "orders:read"
    WRITE = "orders:write"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who proved who they are. `name` has 1 to 255 printable characters and stands in history and log."""

    name: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Tell whether the caller has the scope."""
        return scope in self.scopes or Scope.OPERATOR in self.scopes


def is_name(text: str) -> bool:
    """Tell whether a caller may have the name: 1 to 255 printable characters without spaces at its ends."""
    return 1 <= len(text) <= MAX_NAME and text.isprintable() and text == text.strip()
