"""The endpoints as routes of Flask: for `flask run`, test clients and any WSGI server.

In the loop server Flask serves the documents, and refuses unknown paths and methods.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from flask import Flask, g, request
from flask import Response as FlaskResponse
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from app.api import requests
from app.api.common import EVERY_ANSWER, Common
from app.api.errors import router_failure
from app.api.guard import Guard
from app.api.requests import Request, too_large
from app.api.responses import Response
from app.api.routes import Endpoint
from app.models.errors import Refused
from app.wire.decoder import MAX_BYTES


class AnyText(BaseConverter):
    """The rest of a path with any characters. Flask's `path` allows no leading slash and no line break; an id may."""

    regex = r"[\s\S]+"
    part_isolating = False


def register(app: Flask, endpoints: Iterable[Endpoint], common: Common, guard: Guard) -> None:
    """Make routes of the endpoints, and give all responses of the app what every response has."""
    app.url_map.merge_slashes = False
    app.url_map.converters["any_text"] = AnyText
    for endpoint in endpoints:
        rule = f"{endpoint.path}<any_text:id>" if endpoint.path.endswith("/") else endpoint.path
        app.add_url_rule(rule, endpoint.name, _view(endpoint, common, guard), methods=[endpoint.method])

    @app.before_request
    def begin() -> None:
        g.request = _read()

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> FlaskResponse:
        return refused(error)

    @app.errorhandler(Exception)
    def fail(error: Exception) -> FlaskResponse:
        return to_flask(common.failures.of_exception(error, request.method, request.path))

    @app.after_request
    def finish(response: FlaskResponse) -> FlaskResponse:
        own = "cache-control" if "Cache-Control" in response.headers else ""
        response.headers.extend(header for header in EVERY_ANSWER if header[0].lower() != own)
        route = None if request.url_rule is None else _route(request.url_rule.rule)
        headers = common.finish(g.request, route, response.status_code)
        if g.get("same_origin_only"):
            headers = [header for header in headers if not header[0].startswith("Access-Control-")]
        response.headers.extend(headers)
        return response


def refused(error: HTTPException) -> FlaskResponse:
    """Return the failure that Flask or its router raised, as JSON."""
    allowed = [header for header in error.get_headers() if header[0] == "Allow"] if error.code == 405 else []
    return to_flask(router_failure(request.path, error.code or 500, *allowed))


def to_flask(response: Response) -> FlaskResponse:
    """Return the response as Flask's own. A whole body needs no share of the budget any more; pieces keep theirs."""
    if response.pieces is None:
        response.release()
    body = response.body if response.pieces is None else response.pieces
    return FlaskResponse(body, response.status, response.headers, content_type=response.content_type)


def _view(endpoint: Endpoint, common: Common, guard: Guard):  # type: ignore[no-untyped-def]  # what Flask calls
    def view(**_: str) -> FlaskResponse:
        common.begin_span(g.request, endpoint)
        guard.admit(g.request, endpoint.scope)
        return to_flask(endpoint.answer(g.request))

    return view


@lru_cache(maxsize=1024)
def _route(rule: str) -> str:
    """Return Flask's rule as a template: `{some_id}` for `<path:some_id>`."""
    return re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule)


def _read() -> Request:
    path = request.environ["PATH_INFO"].encode("latin-1").decode("utf-8", "surrogateescape")
    query = request.query_string.decode("utf-8", "surrogateescape")
    return requests.begin(request.method, path, query, _header, _body, lambda: request.remote_addr or "")


def _header(name: str) -> list[str]:
    return request.headers.getlist(name)


def _body() -> bytes:
    body = request.stream.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise too_large()
    if len(body) < (request.content_length or 0):
        raise Refused("bad_request", "The body is shorter than its Content-Length")
    return body
