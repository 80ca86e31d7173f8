"""Serves the OpenAPI and AsyncAPI documents, as JSON and as pages that load nothing from elsewhere.

`make documents` writes them; the service fills in its own topics and its consumer group. While a file is missing, a
request for it is answered 500 and logged. Everything else works.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, g, render_template, request, send_from_directory
from werkzeug.exceptions import HTTPException

from app.api.flask_adapter import refused, to_flask
from app.config.config import Settings
from app.models.callers import Scope
from app.models.errors import ServiceError
from app.wire.decoder import decode
from app.wire.encoder import encode

DOCS = Path(__file__).resolve().parents[2] / "docs"
STATIC = Path(__file__).with_name("static")
YEAR_SECONDS = 31_536_000
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

documents = Blueprint("documents", __name__, template_folder="templates")


@documents.before_request
def admit() -> None:
    """Ask for an operator where DOCUMENTS_ACCESS says so. Preflights are for all. Raises Unauthenticated, Forbidden."""
    settings: Settings = current_app.extensions["settings"]
    if request.method != "OPTIONS" and not settings.is_open(settings.documents_access):
        current_app.extensions["guard"].admit(g.request, Scope.OPERATOR)


@documents.app_errorhandler(404)
def index(error: HTTPException) -> Response:
    """The page with links to all others, at `/` and for browsers only: a program gets the 404 [H1].

    This is no route, because with a route at `/` the router would redirect `//orders` to a host of that name.
    """
    wanted = request.path == "/" and request.method in ("GET", "HEAD")
    if not wanted or not any(media == "text/html" for media, _ in request.accept_mimetypes):
        return refused(error)
    try:
        admit()
    except ServiceError as refusal:  # raised by an error handler, it would not come to another one
        failures = current_app.extensions["common"].failures
        return to_flask(failures.of_exception(refusal, request.method, request.path))
    response = _file("index.html")
    response.vary.add("Accept")
    return response


@documents.get("/openapi.json")
def openapi_json() -> Response:
    """The OpenAPI document."""
    settings: Settings = current_app.extensions["settings"]
    return _document(_openapi(asks_who_calls=settings.asks_who_calls), "application/json")


@documents.get("/asyncapi.json")
def asyncapi_json() -> Response:
    """The AsyncAPI document."""
    return _document(_asyncapi(current_app.extensions["settings"]), "application/json")


@documents.get("/asyncapi")
def asyncapi_page() -> Response:
    """The AsyncAPI document as a page to read."""
    return _document(_asyncapi_page(current_app.extensions["settings"]), "text/html; charset=utf-8")


@documents.get("/apidocs")
def to_apidocs() -> Response:
    """A relative redirect. The router's own redirect would name the host that the request names."""
    return current_app.response_class(status=308, headers={"Location": "apidocs/"})


@documents.get("/apidocs/")
def apidocs() -> Response:
    """The OpenAPI document as a page to read and to try."""
    return _file("apidocs.html")


@documents.get("/apidocs/<path:name>")
def asset(name: str) -> Response:
    """A file that the pages load. The name of Swagger UI's folder has its version, so browsers may keep its files."""
    return _file(name, YEAR_SECONDS if name.startswith("swagger-ui-") else None)


# Each is made by the first request for it and shared by the requests that follow.


@cache
def _openapi(*, asks_who_calls: bool) -> bytes:
    document = _committed("openapi.json")
    if asks_who_calls:
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            needed = [way for way in operation["security"] if way]
            operation["security"] = needed or operation["security"]
    return encode(document)


@cache
def _asyncapi(settings: Settings) -> bytes:
    document = _committed("asyncapi.json")
    for name, topic in _topics(settings).items():
        channel = document["channels"][name]
        channel["address"] = channel["bindings"]["kafka"]["topic"] = topic
    for operation in document["operations"].values():
        if operation["action"] == "receive":
            operation["bindings"]["kafka"]["groupId"]["const"] = settings.group_id
    return encode(document)


@cache
def _asyncapi_page(settings: Settings) -> bytes:
    return render_template("asyncapi.html", topics=_topics(settings)).encode()


def _committed(name: str) -> Any:
    return decode((DOCS / name).read_bytes())


def _topics(settings: Settings) -> Mapping[str, str]:
    """Return the topic of each channel of the AsyncAPI document."""
    return {
        "order_commands": settings.commands_topic,
        "order_events": settings.events_topic,
        "order_commands.dlq": settings.dead_letter_topic,
    }


def _file(name: str, max_age: int | None = None) -> Response:
    response = send_from_directory(STATIC, name, max_age=max_age)
    response.cache_control.immutable = max_age is not None
    return _guarded(response)


def _document(body: bytes, content_type: str) -> Response:
    response = current_app.response_class(body, content_type=content_type)
    response.cache_control.no_cache = True
    response.add_etag()
    response.make_conditional(request)
    return _guarded(response)


def _guarded(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
