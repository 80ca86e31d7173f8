"""A server that says what it is told to: for answers that the service itself never gives."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@contextmanager
def answers(*given: bytes) -> Iterator[str]:
    """A server that gives one after the other to whoever asks."""
    left = list(given)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(left.pop(0))
            self.close_connection = True

        do_POST = do_GET

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
    assert left == []


def http(status: int, body: object) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(text), text)


BROKEN = {
    "cut off": b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n{}",
    "no JSON": b"HTTP/1.1 502 X\r\nContent-Length: 3\r\n\r\n<p>",
    "a 404 without JSON": b"HTTP/1.1 404 X\r\nContent-Length: 3\r\n\r\n<p>",
    "a 404 without code": http(404, {}),
}
"""What a proxy or a lost connection leaves of an answer."""
