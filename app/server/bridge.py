"""Calls the endpoint of each request and sends its response. Flask answers what has no endpoint: documents, unknown
paths and methods."""

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Protocol

from app.api import requests
from app.api.common import EVERY_ANSWER, Common
from app.api.guard import Guard
from app.api.requests import Request, refusal_of_head, too_large
from app.api.responses import RETRY_AFTER_SECONDS, Response, to_response
from app.api.routes import Endpoint
from app.models.errors import DatabaseTrouble, Refused
from app.server.connection import SEND_BUFFER, Connection
from app.server.console_threads import Answered, ConsoleThreads, NoAnswer, ask_wsgi
from app.server.environ import Proxies, environ
from app.server.heads import HeadWriter
from app.server.incoming import Headers, Incoming, Malformed, values_of
from app.server.overload_alarm import OverloadAlarm
from app.server.shedding import QuickAnswers, Shedder, busy
from app.services.order_service import OrderService
from app.utils.admission import Admission, Priority
from app.utils.budget import Budget, Share
from app.utils.logging import Repeats, about
from app.utils.metrics import ANSWERS_CUT
from app.wire.answers import failure
from app.wire.decoder import MAX_BYTES

log = logging.getLogger(__name__)

REFUSED_LINE_SECONDS = 10.0
"""Malformed requests are logged at most once in so many seconds."""

_OPTIONS_ASTERISK_RESPONSE = Response(200, b"", headers=(("Allow", "GET, HEAD, OPTIONS, POST"),))
_CONSOLE = Endpoint("console", "GET", "/console", lambda _: _OPTIONS_ASTERISK_RESPONSE, None)
"""Stands for all pages of the console, which is never turned away: its own threads bound it (console_threads.py)."""


class WsgiApp(Protocol):
    """What `create_app` returns: a WSGI app with its parts in `extensions`."""

    extensions: dict[str, Any]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request as PEP 3333 has it."""


class Bridge:
    """Answers requests. `answer` runs in a task; all it waits for gives the loop back."""

    def __init__(self, app: WsgiApp) -> None:
        self._wsgi = app
        self._common: Common = app.extensions["common"]
        self._guard: Guard = app.extensions["guard"]
        self._budget: Budget = app.extensions["answers_budget"]
        endpoints: Iterable[Endpoint] = app.extensions["endpoints"]
        self._prefixes = [endpoint for endpoint in endpoints if endpoint.path.endswith("/")]
        whole = (endpoint for endpoint in endpoints if not endpoint.path.endswith("/"))
        self._endpoints = {(endpoint.method, endpoint.path): endpoint for endpoint in whole}
        self._proxies = Proxies(app.extensions["settings"].forwarded_allow_ips)
        service: OrderService = app.extensions["order_service"]
        self.shedder = Shedder(Admission(), self._common, service.lines)
        self.quick = QuickAnswers(self.shedder, self._endpoints, partial(self.shed, keeps=True))
        self._overload_alarm = OverloadAlarm(app.extensions["alarms"])
        self._repeats = Repeats(REFUSED_LINE_SECONDS)
        self._heads = HeadWriter(EVERY_ANSWER)
        self._console = ConsoleThreads()

    def waits_for_body(self, incoming: Incoming) -> bool:
        """Tell whether an endpoint will read the request's body: none does when the head alone is refused."""
        is_read = incoming.method == "POST" and self._endpoint("POST", _text(incoming.path)) is not None
        return is_read and refusal_of_head(incoming.values) is None

    def admits(self, incoming: Incoming) -> bool:
        """Tell by the head whether the caller may ask for this; true where nobody is asked."""
        endpoint = self._endpoint(incoming.method, _text(incoming.path))
        incoming.refusal = self._guard.refusal(incoming.values, endpoint.scope) if endpoint else None
        return incoming.refusal is None

    def look(self, now: float, late: float) -> bool:
        """Look at how much there is to do; tell whether requests were turned away since the last look.

        `late`: seconds by which the loop made this look late.
        """
        is_shedding = self.shedder.look(now, late)
        self._overload_alarm.look(now, is_shedding=is_shedding)
        self.quick.forget()
        return is_shedding

    def sheds(self, incoming: Incoming, in_work: int) -> bool:
        """Tell whether to turn the request away; once said, that stands. `in_work`: how many are being answered."""

        def endpoint() -> Endpoint | None:
            path = _text(incoming.path)
            return _CONSOLE if _is_of_console(path) else self._endpoint(incoming.method, path)

        return self.shedder.sheds(incoming, in_work, endpoint)

    def shed(self, incoming: Incoming, *, keeps: bool) -> bytes:
        """Return the whole response to a request that is turned away, as bytes."""
        request = requests.begin(incoming.method, _text(incoming.path), "", incoming.values, bytes)
        return self._whole(request, busy(request.path), self._common.headers(request), incoming.version, keeps=keeps)

    def answer(self, incoming: Incoming, connection: Connection, may_keep: Callable[[], bool]) -> bool:
        """Answer the request; return whether the connection can take another one.

        `may_keep` is called once the response is made. Blocks the task until the client has most of a large response.
        """
        path = _text(incoming.path)
        endpoint = self._endpoint(incoming.method, path)
        request = requests.begin(
            incoming.method,
            path,
            _text(incoming.query),
            incoming.values,
            lambda: _body_of(incoming),
            lambda: self._proxies.client(connection.peer, incoming).address,
        )
        try:
            if endpoint is not None:
                self._common.begin_span(request, endpoint)
                self._guard.admit(request, endpoint.scope)
                if endpoint.priority is Priority.WRITE:
                    self.shedder.remember(incoming)
                response = endpoint.answer(request)
            elif (incoming.method, path) == ("OPTIONS", "*"):
                response = _OPTIONS_ASTERISK_RESPONSE
            else:
                found = self._ask_flask(incoming, connection, path)
                return self._pass_on(*found, incoming, connection, keeps=may_keep())
        except NoAnswer as why:
            headers = (("Retry-After", RETRY_AFTER_SECONDS),)
            response = Response(503, f"{why}.\n".encode(), "text/plain; charset=utf-8", headers)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log a line
            response = self._common.failures.of_exception(error, request.method, request.path)
        try:
            return self._send(request, endpoint, response, incoming, connection, keeps=may_keep())
        finally:
            response.release()

    def refuse(self, refusal: Malformed, connection: Connection) -> bytes:
        """Return the whole response to a malformed request, as bytes."""
        # Its path is not known, so the answer has every field that failures can have [H1].
        response = to_response(failure(refusal.code, str(refusal), says_success=True))
        request = requests.begin("", "", "", partial(values_of, refusal.headers), bytes, lambda: connection.peer or "")
        self._log_refused(refusal, connection)
        return self._whole(request, response, self._common.finish(request, None, response.status), "1.1", keeps=False)

    def _whole(self, request: Request, response: Response, common: Headers, version: str, *, keeps: bool) -> bytes:
        about(None)  # what the loop does next is about something else
        headers, size = [*response.headers, *common], len(response.body)
        head = self._heads.head(response.status, headers, response.content_type, size, version, keeps=keeps)
        return head if request.method == "HEAD" else head + response.body

    def _log_refused(self, refusal: Malformed, connection: Connection) -> None:
        """Log at most one line per REFUSED_LINE_SECONDS: a flood of malformed requests must not fill the log."""
        left_out = self._repeats.admit("no HTTP")
        if left_out is not None:
            log.warning("%s requests were no HTTP; the last from %s: %s", left_out + 1, connection.peer, refusal)

    def _endpoint(self, method: str, path: str) -> Endpoint | None:
        found = self._endpoints.get((method, path))
        if found is None:
            longer = (
                endpoint
                for endpoint in self._prefixes
                if endpoint.method == method and path.startswith(endpoint.path) and path != endpoint.path
            )
            return next(longer, None)
        return found

    def _send(
        self,
        request: Request,
        endpoint: Endpoint | None,
        response: Response,
        incoming: Incoming,
        connection: Connection,
        *,
        keeps: bool,
    ) -> bool:
        """Send the response; return whether the connection can take another request."""
        name, route = (endpoint.name, endpoint.route) if endpoint else ("", None)
        headers = [*response.headers, *self._common.finish(request, route, response.status)]
        kind, length, version = response.content_type, len(response.body), incoming.version
        if response.pieces is None:
            head = self._heads.head(response.status, headers, kind, length, version, keeps=keeps)
            return self._deliver(connection, head, response.body, response.share) and keeps
        keeps = keeps and version == "1.1"  # in HTTP/1.0 the end of the connection ends the body
        head = self._heads.head(response.status, headers, kind, None, version, keeps=keeps)
        framed = _chunks(response.pieces) if version == "1.1" else response.pieces
        return self._deliver_pieces(connection, head, framed, name, response.share) and keeps

    def _deliver_pieces(
        self, connection: Connection, head: bytes, pieces: Iterator[bytes], name: str, share: Share | None
    ) -> bool:
        """Send each piece once the client has most of the one before; return whether all were sent.

        If not, the connection is reset: half a response must not look like a whole one.
        """
        sent = 0
        try:
            for piece in pieces:
                sent += len(piece)
                if not self._deliver(connection, head, piece, share):
                    return False
                head = b""
        except Exception as error:
            known = isinstance(error, DatabaseTrouble | Refused)
            log.warning("%s: an answer ends after %d bytes: %s", name, sent, error, exc_info=None if known else error)
            _cut(connection, "failure")
            return False
        return True

    def _deliver(self, connection: Connection, head: bytes, body: bytes, share: Share | None) -> bool:
        """Send head and body; wait until the client has most of a large body. Return false if the client is gone."""
        if len(body) <= SEND_BUFFER:
            connection.send(head + body)
            return True
        connection.send(head)
        connection.send(body)  # not joined to the head: the copy would be held as long as the body
        held = share or self._budget.overdraw(len(body))
        try:
            with held.waiting(lambda: _cut(connection, "slow client")):
                return connection.wait_for_room()
        finally:
            if share is None:
                held.release()

    def _ask_flask(self, incoming: Incoming, connection: Connection, path: str) -> Answered:
        """Return Flask's answer. Raises NoAnswer where the console has no time."""
        asked = environ(incoming, connection.peer, self._proxies)
        if _is_of_console(path):
            return self._console.ask(self._wsgi, asked)
        return ask_wsgi(self._wsgi, asked)

    def _pass_on(
        self,
        status: int,
        fields: list[tuple[str, str]],
        body: Iterable[bytes],
        incoming: Incoming,
        connection: Connection,
        *,
        keeps: bool,
    ) -> bool:
        """Send Flask's response as the client takes it; return whether the connection can take another request."""
        head = self._heads.head(status, fields, None, None, incoming.version, keeps=keeps)
        rest = iter(() if incoming.method == "HEAD" or status in (204, 304) else body)
        piece: bytes | None = next(rest, b"")
        try:
            while piece is not None:
                if not (self._deliver(connection, head, piece, None) and connection.wait_for_room()):
                    return False
                head, piece = b"", next(rest, None)
        except Exception:  # a file that cannot be read to its end: part of it is with the client
            log.exception("an answer ends before its time")
            _cut(connection, "failure")
            return False
        finally:
            getattr(body, "close", lambda: None)()
        return keeps


def _chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces in the chunked transfer coding. The empty last chunk says that the body is whole."""
    for piece in pieces:
        framed = b"%x\r\n%b\r\n" % (len(piece), piece)
        del piece  # while the task waits for the client, only the framed copy is held
        yield framed
    yield b"0\r\n\r\n"


def _cut(connection: Connection, reason: str) -> None:
    ANSWERS_CUT.labels(reason).inc()
    connection.reset()


def _body_of(incoming: Incoming) -> bytes:
    if incoming.body is None:
        length = int(incoming.header("content-length") or 0)
        refusal = refusal_of_head(incoming.values) if length <= MAX_BYTES else None
        raise incoming.refusal or refusal or too_large()
    return incoming.body


def _is_of_console(path: str) -> bool:
    return path.startswith("/console") and path[8:9] in ("", "/")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
