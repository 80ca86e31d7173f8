"""A collector of traces: OTLP over HTTP on 127.0.0.1, as the service's exporter speaks it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

from tests.harness.waiting import until


@dataclass(frozen=True, slots=True)
class Collected:
    """One span. Ids in hexadecimal; times in nanoseconds since 1970; `kind` and `status` as OTLP numbers them."""

    service: str
    instance: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent: str
    start: int
    end: int
    status: int
    attributes: dict[str, Any]


class Collector:
    """Takes spans. `answer` may wait, or give another status than 200."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests = 0
        self.answer: Callable[[], int] = lambda: 200
        self.keeps = True
        self._spans: list[Collected] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT has."""
        return f"http://127.0.0.1:{self.port}"

    def spans(self, name: str = "") -> list[Collected]:
        """Return what came, of one name or all."""
        with self._lock:
            return [span for span in self._spans if name in ("", span.name)]

    def await_spans(self, name: str, count: int = 1) -> list[Collected]:
        """Return the spans of the name once so many are there."""
        until(lambda: len(self.spans(name)) >= count, f"{count} spans {name}", 30.0)
        return self.spans(name)

    def take(self, path: str, body: bytes) -> int:
        """Return the status of the answer to a request."""
        self.requests += 1
        status = self.answer() if path == "/v1/traces" else 404
        if status == 200 and self.keeps:
            found = list(_spans(ExportTraceServiceRequest.FromString(body)))
            with self._lock:
                self._spans += found
        return status


def _spans(request: ExportTraceServiceRequest) -> Iterator[Collected]:
    for group in request.resource_spans:
        resource = _values(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield _collected(resource, span)


def _collected(resource: dict[str, Any], span: Sent) -> Collected:
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    times = span.start_time_unix_nano, span.end_time_unix_nano
    about = resource["service.name"], resource.get("service.instance.id", "")
    return Collected(*about, span.name, span.kind, *ids, *times, span.status.code, _values(span.attributes))


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [_value(each) for each in found.values] if kind == "array_value" else found


def run() -> None:
    """Be a collector that keeps nothing, until the process is ended; prints its address."""
    with collecting() as collector:
        collector.keeps = False
        print(collector.url, flush=True)
        threading.Event().wait()


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """Run a collector for the body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            status = collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    collector = Collector(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="collector")
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
