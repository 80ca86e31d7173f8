"""One migrated database and apps with a console, through Flask's test client and the service's own server."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.console import gate
from app.database.schema import migrate
from app.models.callers import Scope
from app.operations import keys
from app.operations.audit import Operator
from tests.contract.conftest import Tables, make_app
from tests.harness.builders import unique
from tools.stack.postgres import Postgres

PATIENT_SECONDS = 8  # of a page; the tests of the limits themselves set others
FORM = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}
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


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page's transaction take longer than a person would like to wait: the test's machine may be busy."""
    monkeypatch.setattr(gate, "LOOK_LIMITS", (PATIENT_SECONDS, gate.LOOK_LIMITS[1]))


@pytest.fixture
def client(looking: Flask) -> FlaskClient:
    return looking.test_client()


def new_key(asking: Flask, *scopes: Scope) -> str:
    """A new key that the app knows."""
    made = keys.create(Operator(asking.extensions["settings"], "test"), unique("caller")[:40], scopes)
    asking.extensions["api_keys"].refresh()
    return made.key


def signed_in(asking: Flask, *scopes: Scope) -> FlaskClient:
    """A browser with a session."""
    client = asking.test_client()
    answer = client.post("/console/sign-in", data={"credential": new_key(asking, *scopes)}, headers=FORM)
    assert answer.status_code == 303, answer.text
    return client
