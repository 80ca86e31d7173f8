"""The order service. `create_app` is the one place where its parts are wired; importing and wiring open nothing."""

import logging
import os

from flask import Flask, Response, g, request

from app.api import cors, errors, health, requests
from app.api.documents import documents
from app.api.routes import AnyText, orders
from app.cli import commands as operator_commands
from app.config.config import Settings
from app.models.database import Database
from app.models.models import db
from app.models.store import OrderStore
from app.services.alarms import Alarms
from app.services.kafka_service import KafkaService
from app.services.order_service import OrderService

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> Flask:
    """Return the app for the settings, those of the environment by default. Raises SettingsError.

    The threads wait in `app.extensions["kafka_service"]`; whoever runs the app starts them after the fork.
    """
    settings = settings or Settings.load(os.environ)
    app = Flask("app", static_folder=None)
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    app.url_map.merge_slashes = False
    app.url_map.converters["any_text"] = AnyText
    db.init_app(app)

    database, alarms = Database(settings.database_url), Alarms()
    workers_database = Database(settings.worker_url) if settings.worker_database_url else database
    look = None if workers_database is database else database.pool(1)
    kafka_service = KafkaService(settings, workers_database, alarms, look)
    pool = database.pool(settings.database_pool)
    store = OrderStore(pool, settings.refused_accept_seconds)
    app.extensions["settings"] = settings
    app.extensions["alarms"] = alarms
    app.extensions["kafka_service"] = kafka_service
    app.extensions["order_service"] = OrderService(pool, store, kafka_service.wake)
    app.extensions["health"] = health.Health(settings, database.pool(1), kafka_service, alarms)

    app.register_blueprint(health.checks)
    if settings.serves_orders:
        app.register_blueprint(orders)
        app.register_blueprint(documents)
    errors.register(app)
    app.cli.add_command(operator_commands)
    app.before_request(requests.begin)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Correlation-ID"] = g.correlation_id
        cors.add_headers(response, settings.cors_origins)
        health.count(request.endpoint, response.status_code, g.deadline)
        log.debug("%s %s: %s", request.method, request.path, response.status_code)
        return response

    return app
