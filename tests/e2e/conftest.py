"""The tests here stop and freeze PostgreSQL, so they have one that no other test holds a connection to."""

from collections.abc import Iterator

import pytest

from tools.stack.postgres import Postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("Postgres"))
    server.start()
    yield server
    server.kill()
