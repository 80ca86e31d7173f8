"""One migrated database and apps with a console, through Flask's test client and the service's own server."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.database.schema import migrate
from tests.contract.conftest import Tables, make_app
from tools.stack.postgres import Postgres

SAME = {"Sec-Fetch-Site": "same-origin"}
"""What a browser sends with a form of the console itself."""


@pytest.fixture(scope="session")
def url(postgres: Postgres) -> str:
    address = postgres.create_database("console")
    migrate(make_app(address).extensions["settings"].database_url)
    return address


@pytest.fixture(scope="session")
def tables(url: str) -> Iterator[Tables]:
    found = Tables(url)
    yield found
    found.close()


@pytest.fixture(scope="session")
def looking(url: str) -> Flask:
    """Nobody is asked, and nothing can be done."""
    return make_app(url)


@pytest.fixture(scope="session")
def acting(url: str) -> Flask:
    """Nobody is asked, and acts are possible."""
    return make_app(url, CONSOLE="rw")


@pytest.fixture(scope="session")
def asking(url: str) -> Flask:
    """Everybody is asked for an API key."""
    return make_app(url, CONSOLE="rw", AUTH_MODE="api_key")


@pytest.fixture
def client(looking: Flask) -> FlaskClient:
    return looking.test_client()
