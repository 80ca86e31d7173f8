"""The cookies of the console: signed, for this host alone, out of reach of scripts.

Over https a cookie has the name `__Host-…` and is `Secure`. Browsers take no such cookie from http://localhost, so
there, and only there, a plain name is used.
"""

import hashlib
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from flask import request
from itsdangerous import BadData, URLSafeSerializer
from werkzeug.wrappers import Response

from app.console.parts import Refusal, parts

HTTPS_NEEDED = (
    "This page is reached over plain HTTP from another machine: use https, or http://localhost on the machine itself."
)


def is_local() -> bool:
    """Tell whether the browser addresses its own machine."""
    host = urlsplit(f"//{request.host}").hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_private() -> bool:
    """Tell whether nobody can listen between browser and service, as far as the service knows."""
    return request.is_secure or is_local()


def read(purpose: str) -> dict[str, Any] | None:
    """Return what the cookie says, None if there is none, or one that nobody here has signed."""
    value = request.cookies.get(name(purpose))
    if value is None:
        return None
    try:
        found: dict[str, Any] = _serializer(purpose).loads(value)
    except BadData:
        return None
    return found


def write(response: Response, purpose: str, content: dict[str, Any], seconds: int) -> None:
    """Set the cookie. Raises Refusal where others could listen."""
    if not is_private():
        raise Refusal(400, HTTPS_NEEDED)
    text = _serializer(purpose).dumps(content)
    _set(response, purpose, text if isinstance(text, str) else text.decode(), seconds)


def drop(response: Response, purpose: str) -> None:
    """Let the browser forget the cookie."""
    _set(response, purpose, "", 0)


def _set(response: Response, purpose: str, value: str, seconds: int) -> None:
    response.set_cookie(
        name(purpose), value, max_age=seconds, path="/", secure=request.is_secure, httponly=True, samesite="Strict"
    )


def name(purpose: str) -> str:
    """Return the cookie's name here."""
    return f"__Host-console-{purpose}" if request.is_secure else f"console-{purpose}"


def _serializer(purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(
        parts().secrets.valid(),
        salt=f"console-{purpose}",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
