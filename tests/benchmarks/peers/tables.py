"""The Flask peers' app and tables as Flask-SQLAlchemy models; the database is made by the service's migrations."""

import os
import uuid
from typing import Any

from flask import Flask, Response, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Identity, LargeBinary, Numeric, Uuid
from sqlalchemy.orm import mapped_column

from tests.benchmarks.peers.orders import Event, Refused

db = SQLAlchemy()


class Order(db.Model):  # type: ignore[name-defined]  # as Flask-SQLAlchemy says to write it
    """The orders."""

    __tablename__ = "orders"

    order_id = mapped_column(db.String(255), primary_key=True)
    cust_id = mapped_column(db.String(255), nullable=False)
    runner_id = mapped_column(db.String(255))
    order_description = mapped_column(db.Text, nullable=False)
    food_fee = mapped_column(Numeric(5, 2), nullable=False)
    delivery_fee = mapped_column(Numeric(5, 2), nullable=False)
    store_location = mapped_column(db.String(255))
    delivery_location = mapped_column(db.String(255), nullable=False)
    order_status = mapped_column(db.String(10), nullable=False)
    saga_id = mapped_column(db.String(255))
    created_at = mapped_column(DateTime, nullable=False)
    updated_at = mapped_column(DateTime, nullable=False)
    accepted_at = mapped_column(DateTime)
    placed_at = mapped_column(DateTime)
    picked_up_at = mapped_column(DateTime)
    delivered_at = mapped_column(DateTime)
    completed_at = mapped_column(DateTime)
    cancelled_at = mapped_column(DateTime)
    payment_status = mapped_column(db.String(10), nullable=False)
    cancel_reason = mapped_column(db.Text)
    version = mapped_column(db.Integer, nullable=False)


class Outbox(db.Model):  # type: ignore[name-defined]  # as above
    """Events that are committed and not sent yet."""

    __tablename__ = "outbox"

    id = mapped_column(db.BigInteger, Identity(always=True), primary_key=True)
    event_id = mapped_column(Uuid, nullable=False)
    aggregateid = mapped_column(db.String(255), nullable=False)
    type = mapped_column(db.String(40), nullable=False)
    correlation_id = mapped_column(db.String(255), nullable=False)
    version = mapped_column(db.Integer)
    payload = mapped_column(LargeBinary, nullable=False)

    @classmethod
    def of(cls, event: Event) -> "Outbox":
        """Return the row of an event."""
        return cls(
            event_id=event.event_id,
            aggregateid=event.key,
            type=event.type,
            correlation_id=event.correlation_id,
            version=event.version,
            payload=event.payload,
        )


def new_app(name: str) -> Flask:
    """Return a Flask app on the database of the environment, that answers failures and `/health`."""
    app = Flask(name)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"].replace("://", "+psycopg2://", 1)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": int(os.environ["DATABASE_POOL"]), "max_overflow": 0}
    db.init_app(app)

    @app.errorhandler(Refused)
    def refused(error: Refused) -> tuple[Response, int]:
        return jsonify(success=False, error=str(error)), 400

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "healthy"}

    return app


def correlation_id() -> str:
    """Return the request's correlation id, a fresh one where it names none."""
    return request.headers.get("X-Correlation-ID") or str(uuid.uuid4())
