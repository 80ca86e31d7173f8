"""The documents for callers: OpenAPI and AsyncAPI, as JSON and as pages that load nothing from elsewhere.

What makes them is imported by the first who asks: most starts of the service never need it.
"""

from functools import cache
from pathlib import Path

from flask import Blueprint, Response, current_app, render_template, request, send_from_directory
from werkzeug.exceptions import HTTPException

from app.api.flask_adapter import refused
from app.config.config import Settings
from app.utils.encoder import encode

STATIC = Path(__file__).with_name("static")
YEAR_SECONDS = 31_536_000
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

documents = Blueprint("documents", __name__, template_folder="templates")


@documents.app_errorhandler(404)
def index(error: HTTPException) -> Response:
    """Where to go from here, for people with a browser; a program finds nothing here [H1].

    Not a route: with one, the router would send `//orders` to a host of that name.
    """
    wanted = request.path == "/" and request.method in ("GET", "HEAD")
    if not wanted or not any(media == "text/html" for media, _ in request.accept_mimetypes):
        return refused(error)
    response = _file("index.html")
    response.vary.add("Accept")
    return response


@documents.get("/openapi.json")
def openapi_json() -> Response:
    """The OpenAPI document."""
    return _document(_openapi(), "application/json")


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
    """Where the page is, seen from here: the router itself would name the host that the request names."""
    return current_app.response_class(status=308, headers={"Location": "apidocs/"})


@documents.get("/apidocs/")
def apidocs() -> Response:
    """The OpenAPI document as a page to read and to try."""
    return _file("apidocs.html")


@documents.get("/apidocs/<path:name>")
def asset(name: str) -> Response:
    """A part of the pages. Swagger UI's folder carries its version, so its files never change."""
    return _file(name, YEAR_SECONDS if name.startswith("swagger-ui-") else None)


# Made once, and shared by all who take it slowly.


@cache
def _openapi() -> bytes:
    from app.api.documents import openapi

    return encode(openapi.document())


@cache
def _asyncapi(settings: Settings) -> bytes:
    from app.api.documents import asyncapi

    return encode(asyncapi.document(settings))


@cache
def _asyncapi_page(settings: Settings) -> bytes:
    from app.api.documents import asyncapi, page

    document = asyncapi.document(settings)
    operations = page.operations(document)
    html = render_template(
        "asyncapi.html",
        info=document["info"],
        channels=document["channels"].values(),
        sections=(
            ("Commands and their replies", [it for it in operations if it.takes]),
            ("What is sent beside replies", [it for it in operations if not it.takes]),
        ),
        common=page.common(document),
    )
    return html.encode()


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
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
