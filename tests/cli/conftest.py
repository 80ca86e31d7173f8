"""The worlds of the integration tests, and a terminal in each."""

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.harness.terminal import Terminal
from tests.harness.world import World
from tests.integration.conftest import admin, database_url, running, template, untouched, wire, world

__all__ = ["admin", "database_url", "running", "template", "untouched", "wire", "world"]


@pytest.fixture
def terminal() -> Callable[[World], Terminal]:
    """Makes terminals."""
    return Terminal


@pytest.fixture
def frozen() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        yield f"{host}:{port}"
