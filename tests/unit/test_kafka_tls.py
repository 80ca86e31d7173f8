"""Connections with TLS to servers that are silent, foreign, or end at once."""

import gc
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import trustme
from kafka.errors import KafkaError

from app.config.config import Settings
from app.kafka import clients
from app.kafka.quirks import tls
from tests.harness.certificates import bundle, issue, write
from tests.harness.world import wait_for

Serve = Callable[[socket.socket], None]
SECONDS = 1.0


@contextmanager
def served(serve: Serve) -> Iterator[int]:
    """A server that does this with each connection; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=run, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def silent(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(4096):
            pass
    connection.close()


def at_once(connection: socket.socket) -> None:
    connection.close()


def foreign(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def connections_to(port: int) -> list[object]:
    return [one for one in psutil.Process().net_connections("tcp") if one.raddr and one.raddr.port == port]


@pytest.mark.parametrize(
    ("serve", "sentence"),
    [(silent, "Unable to bootstrap"), (at_once, "KAFKA_SECURITY_PROTOCOL"), (foreign, "TlsError")],
)
def test_a_server_without_tls_ends_the_attempt_in_time(
    serve: Serve, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "BOOTSTRAP_MS", int(SECONDS * 1000))
    with served(serve) as port:
        way = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}", "KAFKA_SECURITY_PROTOCOL": "SSL"}
        began = time.monotonic()
        with pytest.raises(KafkaError) as failed:
            clients.producer(Settings.load(way))
        assert time.monotonic() - began < 3 * SECONDS
    assert sentence in str(failed.value)


def test_a_failed_handshake_leaves_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector would find it in its own time."""
    monkeypatch.setattr(clients, "BOOTSTRAP_MS", 1500)
    ca = trustme.CA()
    pair = issue(trustme.CA(), "localhost").write_both(tmp_path / "pair")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError), context.wrap_socket(connection, server_side=True):
            pass

    write(tmp_path / "ca", bundle(ca))
    with served(serve) as port:
        way = {"KAFKA_BOOTSTRAP_SERVERS": f"localhost:{port}", "KAFKA_SECURITY_PROTOCOL": "SSL"}
        settings = Settings.load(way | {"KAFKA_SSL_CA_FILE": str(tmp_path / "ca")})
        gc.collect()
        gc.disable()
        try:
            with pytest.raises(KafkaError, match=r"UntrustedCertificateError \(no CA in KAFKA_SSL_CA_FILE"):
                clients.producer(settings)
            wait_for(lambda: not connections_to(port), "the end of each connection")
        finally:
            gc.enable()


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", tls.OwnCertificateError),
        ("TLSV1_ALERT_UNKNOWN_CA", tls.OwnCertificateError),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", tls.OwnCertificateError),
        ("SSLV3_ALERT_BAD_CERTIFICATE", tls.OwnCertificateError),
        ("WRONG_VERSION_NUMBER", tls.TlsError),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", tls.TlsError),
    ],
)
def test_an_alert_of_the_broker_is_told_by_what_it_is_about(told: str, kind: type[KafkaError]) -> None:
    error = ssl.SSLError()
    error.reason = told
    assert type(tls.reason(error)) is kind
