"""The example that the README shows runs as it stands there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.service import Instance
from tests.faults.stack import Stack
from tools.stack.broker import Broker
from tools.stack.postgres import Postgres

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "saga.py"


@pytest.mark.parametrize(("outcome", "last"), [("paid", "COMPLETED"), ("declined", "CANCELLED")])
def test_the_example_saga_comes_to_its_end(
    postgres: Postgres, broker: Broker, database_url: str, tmp_path: Path, outcome: str, last: str
) -> None:
    stack = Stack(tmp_path, postgres, broker, database_url)
    stack.create_topics()
    instance: Instance = stack.start(1)[0]
    try:
        environment = os.environ | stack.settings | {"ORDER_SERVICE": instance.url}
        done = subprocess.run(
            [sys.executable, str(EXAMPLE), outcome],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        instance.stop()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == last


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 150
