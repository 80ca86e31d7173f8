"""One app on a migrated database of its own; its threads do not run, Kafka is away."""

import pytest
from flask import Flask

from app import create_app
from app.config.config import Settings
from app.database.schema import migrate
from tools.stack.postgres import Postgres


@pytest.fixture(scope="session")
def documented_app(postgres: Postgres) -> Flask:
    url = postgres.create_database("documents")
    app = create_app(Settings.load({"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}))
    migrate(app.extensions["settings"].database_url)
    return app
