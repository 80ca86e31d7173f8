"""The settings of who may call. Each group stands in docs/settings.md, as those of groups.py do."""

from dataclasses import dataclass

from app.config.groups import setting
from app.config.parsers import choice

_OPEN_OR_OPERATOR = ("open", "operator")


def _access(value: str) -> str:
    """Return who may see; empty: as AUTH_MODE has it."""
    return choice(*_OPEN_OR_OPERATOR)(value) if value else ""


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """Who may call."""

    auth_mode: str = setting(
        "AUTH_MODE",
        "off",
        choice("off", "api_key", "jwt", "both"),
        "credentials that callers need: `off`: none, and those that come are ignored; `api_key`; `jwt`; `both`: either",
    )
    metrics_access: str = setting(
        "METRICS_ACCESS",
        "",
        _access,
        "who may see `/metrics`: `open`: all; `operator`: callers with the scope `operator`; empty: `operator` where "
        "AUTH_MODE is not `off`",
    )
    readyz_access: str = setting(
        "READYZ_ACCESS",
        "",
        _access,
        "as METRICS_ACCESS, for the parts that `/readyz` shows; its status is for all",
    )
    documents_access: str = setting(
        "DOCUMENTS_ACCESS",
        "open",
        choice(*_OPEN_OR_OPERATOR),
        "as METRICS_ACCESS, for the API documents and their pages",
    )
