"""The order service. `create_app` is the one place where its parts are wired; importing and wiring open nothing."""

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from flask import Flask

from app.api import flask_adapter
from app.api.common import Common
from app.api.documents import documents
from app.api.errors import FailureResponses
from app.api.guard import Guard
from app.api.health import Checks
from app.api.pages import ANSWERS_BYTES, Pages
from app.api.routes import Orders
from app.cli import commands as operator_commands
from app.config.config import Settings
from app.console import blueprint as console
from app.console.parts import Parts as ConsoleParts
from app.database.answers import AnswerStore
from app.database.api_keys import ApiKeyTable
from app.database.database import Database
from app.database.jobs import JobTable
from app.database.orders import OrderStore
from app.database.pages import PageStore
from app.database.pool import Pool
from app.database.refused_accepts import RefusedAccepts
from app.models.models import db
from app.operations.job_kinds import KINDS
from app.services.access import Access
from app.services.api_keys import ApiKeys
from app.services.console_secrets import ConsoleSecrets
from app.services.health import Health
from app.services.jobs import Jobs
from app.services.kafka_service import KafkaService
from app.services.nightly import Nightly
from app.services.order_service import LostRace, OrderService
from app.services.refusals import RefusalNotes
from app.services.schema_thread import SchemaThread
from app.services.sign_in import SignIn
from app.services.strip import Strip
from app.utils.alarms import Alarms
from app.utils.budget import Budget
from app.utils.metrics import ANSWER_BYTES, DATABASE_CONNECTIONS, DATABASE_CONNECTIONS_LIMIT, sample
from app.utils.supervisor import Work
from app.utils.tracing_export import TraceExport
from app.utils.traffic import Traffic

if TYPE_CHECKING:
    from app.services.jwks import ProviderKeys
    from app.services.jwt_verifier import JwtVerifier

BULK_CONNECTIONS = 2  # for pieces of large pages, a few milliseconds each


def create_app(settings: Settings | None = None) -> Flask:
    """Return the app for the settings, those of the environment by default. Raises SettingsError.

    Its threads do not run yet: the worker starts `app.extensions["kafka_service"]` after the fork.
    """
    settings = settings or Settings.load(os.environ)
    app = Flask("app", static_folder=None)
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    db.init_app(app)

    database, alarms = Database(settings.database_url), Alarms()
    workers_database = Database(settings.worker_url) if settings.worker_database_url else database
    look = None if workers_database is database else Pool(database, 1)
    traffic = Traffic()
    api_keys = _api_keys(settings, workers_database, alarms)
    jwks, tokens = _tokens(settings, alarms)
    threads = _jobs(settings, workers_database, alarms, lambda: kafka_service.schema)
    if jwks:
        threads["jwks-fetch"] = jwks.run
    if api_keys is not None:
        threads["api-keys"] = lambda stop, beat: api_keys.run(stop, beat, kafka_service.schema.is_ready)
    failures = FailureResponses(alarms)
    refusals = RefusalNotes()
    noting = failures.note_success, refusals
    kafka_service = KafkaService(settings, workers_database, alarms, traffic, look, threads, *noting)
    service = _order_service(database, settings, kafka_service.wake_events, refusals.note_race)
    common = Common(settings.cors_origins, failures, traffic)
    budget = Budget(ANSWERS_BYTES)
    sample(ANSWER_BYTES, lambda: budget.held)
    health = Health(settings, Pool(database, 1), kafka_service, alarms, api_keys, jwks)
    guard = Guard(Access(api_keys, tokens) if settings.asks_who_calls else None)
    endpoints = Checks(health, settings, guard).endpoints()
    if settings.serves_orders:
        endpoints += Orders(service, Pages(service, budget), failures, refusals).endpoints()
        app.register_blueprint(documents)
    flask_adapter.register(app, endpoints, common, guard)
    app.cli.add_command(operator_commands)
    app.extensions |= {"settings": settings, "alarms": alarms, "kafka_service": kafka_service, "order_service": service}
    app.extensions |= {"health": health, "endpoints": endpoints, "common": common, "guard": guard}
    app.extensions |= {"answers_budget": budget, "api_keys": api_keys, "refusals": refusals}
    app.extensions["trace_export"] = TraceExport(settings.tracing, alarms)
    _add_console(app, settings, database, SignIn(api_keys, tokens))
    return app


def _add_console(app: Flask, settings: Settings, database: Database, sign_in: SignIn) -> None:
    if settings.console_mode == "off":
        return
    strip = Strip(Pool(database, 2), app.extensions["kafka_service"], app.extensions["alarms"], settings.roles)
    secrets = ConsoleSecrets(Pool(database, 1), settings.console_secret_file)
    console.register(app, ConsoleParts(settings, strip, secrets, sign_in if settings.asks_who_calls else None))


def _tokens(settings: Settings, alarms: Alarms) -> "tuple[ProviderKeys, JwtVerifier] | tuple[None, None]":
    if not settings.takes_tokens:
        return None, None
    # What verifies signatures takes 9 MiB and a tenth of the start, so it is loaded where tokens are taken.
    from app.services.jwks import ProviderKeys
    from app.services.jwt_verifier import JwtVerifier

    jwks = ProviderKeys(settings.jwt_jwks_url, settings.jwt_jwks_ca_file, settings.jwt_algorithms, alarms)
    return jwks, JwtVerifier(settings, jwks)


def _jobs(
    settings: Settings, database: Database, alarms: Alarms, schema: Callable[[], SchemaThread]
) -> dict[str, Work]:
    if not settings.consumes:
        return {}
    kinds = {name: partial(kind.opened, settings) for name, kind in KINDS.items()}
    jobs = Jobs(JobTable(Pool(database, 1), alarms.holder), kinds, Nightly(settings.check_at), alarms)
    return {"jobs": lambda stop, beat: schema().whenever_ready(jobs.run)(stop, beat)}


def _api_keys(settings: Settings, database: Database, alarms: Alarms) -> ApiKeys | None:
    if not settings.takes_api_keys:
        return None
    return ApiKeys(ApiKeyTable(Pool(database, 1)), settings.api_keys_file, alarms)


def _order_service(
    database: Database, settings: Settings, wake_events: Callable[[], None], note_race: LostRace
) -> OrderService:
    pool = Pool(database, settings.database_pool)
    sample(DATABASE_CONNECTIONS.labels("used"), lambda: pool.used)
    sample(DATABASE_CONNECTIONS.labels("idle"), lambda: pool.idle)
    sample(DATABASE_CONNECTIONS_LIMIT, lambda: settings.database_pool)
    answers = AnswerStore(pool)
    return OrderService(
        OrderStore(pool, answers),
        PageStore(pool, Pool(database, BULK_CONNECTIONS)),
        answers,
        RefusedAccepts(pool, answers, settings.refused_accept_seconds),
        wake_events,
        on_lost_race=note_race,
    )
