"""Connections with TLS or a login that end in time, with their socket closed, and with an error that says why.

kafka-python 3.0.12 waits for a handshake without limit, so a client whose broker accepts a connection and stays silent
is never built; it leaves the socket of a failed handshake open; it calls each failure KafkaConnectionError; and it
drops what came right before the end of a connection: the broker's reason why it refuses a login.
Fail without it: tests/unit/test_kafka_tls.py, tests/integration/test_kafka_refusals.py.
"""

import ssl
from typing import Any

from kafka.errors import KafkaConnectionError
from kafka.net.inet import create_connection
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

_EXPIRED, _NOT_YET = 10, 9  # OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED, …_CERT_NOT_YET_VALID
_OTHER_NAME, _OTHER_ADDRESS = 62, 64  # …_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH


class UntrustedCertificateError(KafkaConnectionError):
    """No trusted CA signed the broker's certificate."""


class ExpiredCertificateError(KafkaConnectionError):
    """The broker's certificate, or its CA's, is not valid now."""


class HostNameError(KafkaConnectionError):
    """The broker's certificate is for other names."""


class OwnCertificateError(KafkaConnectionError):
    """The broker refuses the service's certificate, or asks for one."""


class TlsError(KafkaConnectionError):
    """The handshake failed, or took too long."""


class _PlainTransport(KafkaTCPTransport):
    """A connection without TLS whose last bytes are read."""

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        received, error = super()._sock_recv()
        return received, None if received else error


class _TlsTransport(KafkaSSLTransport):
    """A connection whose errors say why, and whose last bytes are read."""

    async def shake_hands(self, until: float | None) -> None:
        """Return after the handshake. Raises KafkaConnectionError; then the socket is closed."""
        try:
            while not self._is_done():
                wanted = self._net.wait_read if self._wants_read else self._net.wait_write
                await wanted(self._sock, timeout_at=until)
        except (OSError, ValueError) as error:
            self.close()
            raise reason(error) from error
        except BaseException:
            self.close()
            raise

    def _is_done(self) -> bool:
        try:
            self._sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wanted:
            self._wants_read = isinstance(wanted, ssl.SSLWantReadError)
            return False
        return True

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        """TLS 1.3 brokers say only after the handshake that they refuse the client's certificate."""
        received, error = super()._sock_recv()
        if received:
            return received, None  # the next call finds the error again
        cause = error.args[0] if error is not None and error.args else None
        return received, reason(cause) if isinstance(cause, ssl.SSLError) else error


def say_why(manager: Any) -> None:
    """Have the connection manager of one client make such connections."""

    async def build(node: Any, timeout_at: float | None = None) -> KafkaTCPTransport:
        options = {"socket_options": manager.config["socket_options"], "proxy_url": manager.config["proxy_url"]}
        sock = await create_connection(manager._net, node.host, node.port, timeout_at=timeout_at, **options)
        if not manager.ssl_enabled:
            return _PlainTransport(manager._net, sock, host=node.host)
        try:
            transport = _TlsTransport(manager._net, sock, host=node.host, ssl_context=manager.config["ssl_context"])
        except BaseException:
            sock.close()
            raise
        await transport.shake_hands(timeout_at)
        return transport

    manager._build_transport = build


def reason(error: BaseException) -> KafkaConnectionError:
    """Return the error by whose name the operator learns what to mend."""
    if isinstance(error, ssl.SSLCertVerificationError):
        kinds = {
            _EXPIRED: ExpiredCertificateError,
            _NOT_YET: ExpiredCertificateError,
            _OTHER_NAME: HostNameError,
            _OTHER_ADDRESS: HostNameError,
        }
        return kinds.get(error.verify_code, UntrustedCertificateError)(error.verify_message)
    told = getattr(error, "reason", None) or ""
    if "ALERT" in told and ("CERTIFICATE" in told or "UNKNOWN_CA" in told or "ACCESS_DENIED" in told):
        return OwnCertificateError(told)
    return TlsError(told or type(error).__name__)
