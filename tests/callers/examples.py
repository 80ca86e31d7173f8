"""Running the programs of docs/examples against a stack."""

import os
import subprocess
import sys
from pathlib import Path

from tests.harness.service import CHECKOUT
from tests.harness.stack import Stack

EXAMPLES = CHECKOUT / "docs" / "examples"
ORCHESTRATOR, READER = EXAMPLES / "orchestrator.py", EXAMPLES / "reader.py"
LIVES = Path(__file__).with_name("lives.py")


def run(stack: Stack, *command: object) -> list[str]:
    """Run a program against the first instance; return its lines. Fails where it does not end well."""
    environment = os.environ | stack.settings | {"ORDER_SERVICE": stack.instances[0].url}
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
