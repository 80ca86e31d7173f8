"""Who calls, and what a caller may do."""

from dataclasses import dataclass
from enum import StrEnum


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
