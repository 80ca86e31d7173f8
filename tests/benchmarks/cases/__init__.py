"""The cases, by name. One file a subject; each measures both sides in turn and checks what was done."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.bench import Bench
from tests.benchmarks.table import Result

# In this order: those that need the large table stand together.
MODULES = (
    *(
        "before",
        "create",
        "loops",
        "auth",
        "accept",
        "get",
        "lists",
        "filters",
        "commands",
        "relay",
        "latency",
        "memory",
    ),
    *("start", "beside"),
)
LONG_MODULES = (
    *("growth", "search", "scaling", "profile", "made_up_keys", "tls", "kafka_tls", "tracing", "overload"),
    "scrape",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A case. `by_name`: it takes long and is run only when it is asked for."""

    name: str
    run: Callable[[Bench], Result]
    by_name: bool


CASES: dict[str, Case] = {}


def case(name: str, *, by_name: bool = False) -> Callable[[Callable[[Bench], Result]], Callable[[Bench], Result]]:
    """Make the function a case."""

    def add(run: Callable[[Bench], Result]) -> Callable[[Bench], Result]:
        if name in CASES:
            raise ValueError(f"case {name} is there twice")
        CASES[name] = Case(name, run, by_name)
        return run

    return add


def load_cases() -> dict[str, Case]:
    """Return all cases, by name, in the order of their modules: one may import another, and so has its cases made."""
    modules = [importlib.import_module(f"{__name__}.{module}").__name__ for module in (*MODULES, *LONG_MODULES)]
    return dict(sorted(CASES.items(), key=lambda named: modules.index(named[1].run.__module__)))
