"""`flask orders …` in process, with the settings of a world."""

import json
from typing import Any

from click.testing import Result

from app import create_app
from tests.harness.world import World


class Terminal:
    """`flask orders …` with the settings of a world."""

    def __init__(self, surroundings: World) -> None:
        self.world = surroundings

    def run(self, *arguments: object, stdin: str | bytes | None = None) -> Result:
        app = create_app(self.world.settings())
        result = app.test_cli_runner().invoke(args=["orders", *map(str, arguments)], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def prints(self, *arguments: object, **given: Any) -> str:
        """What a command prints that succeeds and warns of nothing."""
        result = self.run(*arguments, **given)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return result.stdout

    def json(self, *arguments: object, **given: Any) -> Any:
        return json.loads(self.prints(*arguments, "--json", **given))

    def refusal(self, *arguments: object, **given: Any) -> str:
        """The one sentence on standard error of a command that fails."""
        result = self.run(*arguments, **given)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.count("\n") == 1
        return result.stderr.strip()

    def audit(self) -> list[tuple[Any, ...]]:
        return self.world.query("SELECT who, action, subject, bytes FROM operator_actions ORDER BY id")
