"""A statement of the service: SQL with named parameters, prepared once on each connection."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_PARAMETER = re.compile(r"\$([a-z_][a-z0-9_]*)")


@dataclass(frozen=True, eq=False)
class Statement:
    """SQL in which `$name` stands for a parameter.

    `parameters`: the PostgreSQL type of each, in the order in which callers pass the values. A name that stands only
    there, or only in the SQL, raises ValueError, and so at import.
    """

    name: str
    parameters: Mapping[str, str]
    text: str

    def __post_init__(self) -> None:
        wrong = self.parameters.keys() ^ set(_PARAMETER.findall(self.text))
        if wrong:
            raise ValueError(f"statement {self.name} and its SQL do not agree on {', '.join(sorted(wrong))}")

    def in_order(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values of the parameters, which are given by name. Raises KeyError if one is missing."""
        return [values[name] for name in self.parameters]

    @cached_property
    def sql(self) -> str:
        """The SQL with PostgreSQL's numbers in place of the names."""
        places = {name: f"${place}" for place, name in enumerate(self.parameters, 1)}
        return _PARAMETER.sub(lambda parameter: places[parameter[1]], self.text)

    @cached_property
    def prepare(self) -> str:
        """The PREPARE command, sent once on each connection."""
        types = f" ({', '.join(self.parameters.values())})" if self.parameters else ""
        return f"PREPARE {self.name}{types} AS {self.sql}"

    @cached_property
    def call(self) -> str:
        """The EXECUTE command with psycopg2's placeholders; the casts type NULLs and arrays of NULLs."""
        values = f" ({', '.join(f'%s::{kind}' for kind in self.parameters.values())})" if self.parameters else ""
        return f"EXECUTE {self.name}{values}"
