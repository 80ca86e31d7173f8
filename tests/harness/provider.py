"""An identity provider on 127.0.0.1: real keys, real tokens, and a JWKS over a real socket, well or badly served."""

import base64
import functools
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import api_jws
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://provider.example/orders"
AUDIENCE = "orders"
ALGORITHMS = ("RS256", "ES256", "EdDSA")

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Signer:
    """A key pair of the provider. `jwk` is the public one."""

    algorithm: str
    kid: str
    private: Any
    jwk: dict[str, Any]

    def token(self, claims: dict[str, Any] | None = None, headers: dict[str, Any] | None = None, **more: Any) -> str:
        """Return a good token with `more` claims, or one with just `claims`."""
        said = {**good_claims(), **more} if claims is None else claims
        return self.sign(json.dumps(said).encode(), {"kid": self.kid, **(headers or {})})

    def sign(self, payload: bytes, headers: dict[str, Any]) -> str:
        """Return the payload as a token, whatever it is."""
        return api_jws.encode(payload, self.private, self.algorithm, headers)

    def without_key_id(self) -> str:
        """Return a good token that does not name its key."""
        return self.sign(json.dumps(good_claims()).encode(), {})


def good_claims() -> dict[str, Any]:
    """Return what a token of a caller who may read and write says."""
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "shop",
        "iat": now,
        "exp": now + 300,
        "scope": "openid orders:read orders:write",
    }


@functools.cache
def signer(algorithm: str, kid: str) -> Signer:
    """Return the same key pair each time: RSA takes a moment to make."""
    private: Any
    if algorithm == "RS256":
        private = rsa.generate_private_key(65537, 2048)
        jwk = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    elif algorithm == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
        jwk = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        private = ed25519.Ed25519PrivateKey.generate()
        jwk = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return Signer(algorithm, kid, private, {**jwk, "kid": kid, "alg": algorithm, "use": "sig"})


def jwks(*signers: Signer) -> bytes:
    """Return the document that has the public keys."""
    return json.dumps({"keys": [one.jwk for one in signers]}).encode()


def segment(content: bytes) -> str:
    """Return a part of a token."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Provider:
    """Serves a JWKS. `answer` says how; `fetches` counts what came."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._document = b""
        self._server: ThreadingHTTPServer | None = None
        self.answer: Answer = self.serve
        self.fetches = 0
        self.port = 0
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/jwks.json"

    def publish(self, *signers: Signer) -> None:
        """Serve these keys from now on."""
        self._document = jwks(*signers)

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """The answer of a provider that is well."""
        send(request, self._document)

    def start(self) -> None:
        """Listen, on the port of the time before."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetches += 1
                try:
                    provider.answer(self)
                except OSError:  # the service has hung up
                    self.close_connection = True

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.closing.clear()
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="provider").start()

    def stop(self) -> None:
        """Refuse connections. A request that waits for an answer gets none."""
        if self._server is not None:
            self.closing.set()
            self._server.shutdown()
            self._server.server_close()  # waits for the threads of the requests
            self._server = None


def send(request: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """Answer."""
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


@contextmanager
def running(*signers: Signer, tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """A provider for the body, with these keys."""
    provider = Provider(tls)
    provider.publish(*signers)
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()
