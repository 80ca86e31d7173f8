"""The worlds of the integration tests, and a terminal in each."""

from collections.abc import Callable

import pytest

from tests.cli.terminal import Terminal
from tests.integration.conftest import database_url, running, template, untouched, wire, world
from tests.integration.world import World

__all__ = ["database_url", "running", "template", "untouched", "wire", "world"]


@pytest.fixture
def terminal() -> Callable[[World], Terminal]:
    """Makes terminals."""
    return Terminal
