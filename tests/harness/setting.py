"""The names that tests may set in the service, so that one which is not set back is found in its own file."""

import sys
from collections.abc import Mapping
from types import FunctionType, ModuleType
from typing import Any

Names = Mapping[str, object]

_THE_SERVICE_SETS = {"app.utils.tracing._draw"}


def names_now() -> Names:
    """Return each constant, function and class of `app`, and each method with its defaults, by its dotted name."""
    found: dict[str, object] = {}
    for module in [it for name, it in sys.modules.items() if name == "app" or name.startswith("app.")]:
        for name, value in vars(module).items():
            if _may_not_change(name, value):
                found[f"{module.__name__}.{name}"] = value
            if _is_its_own(module, value):
                for attribute, part in vars(value).items():
                    found[f"{module.__name__}.{name}.{attribute}"] = part
                    if isinstance(part, FunctionType):
                        found[f"{module.__name__}.{name}.{attribute}()"] = part.__defaults__
    return found


def changed_since(before: Names) -> list[str]:
    """Return the names that stand for something else than before."""
    now = names_now()
    changed = {name for name, value in before.items() if now.get(name, value) is not value}
    return sorted(changed - _THE_SERVICE_SETS)


def _may_not_change(name: str, value: object) -> bool:
    return name.isupper() or isinstance(value, FunctionType | type | ModuleType)


def _is_its_own(module: ModuleType, value: Any) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__
