"""The WSGI environment of a request, and the client behind proxies; only trusted proxies are believed."""

import io
import ipaddress
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes

from app.config.parsers import Network, is_address
from app.server.incoming import Incoming

_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from, and how its client addresses the service. `prefix`: what a proxy cut off the path."""

    address: str
    scheme: str = "http"
    host: str | None = None
    prefix: str = ""


class Proxies:
    """The trusted proxies. From any other peer `X-Forwarded-…` are headers without a meaning."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks

    def client(self, peer: str | None, incoming: Incoming) -> Client:
        """Return the client: the last address in the chain that is no trusted proxy."""
        if peer is None or not self._trusts(peer):
            return Client(peer or "")
        scheme, host, prefix = (_last(incoming, f"x-forwarded-{name}") for name in ("proto", "host", "prefix"))
        return Client(
            self._first_of_others(peer, incoming),
            "https" if scheme.lower() == "https" else "http",
            host if _HOST.fullmatch(host) else None,
            prefix.rstrip("/") if _PREFIX.fullmatch(prefix.rstrip("/")) else "",
        )

    def _first_of_others(self, peer: str, incoming: Incoming) -> str:
        """Walk from the nearest proxy towards the client, as long as the proxy that names the next one is trusted."""
        address = peer
        for named in reversed(",".join(incoming.values("x-forwarded-for")).split(",")):
            named = named.strip()
            if not self._trusts(address) or not is_address(named):
                break
            address = named
        return address

    def _trusts(self, address: str) -> bool:
        if not self._networks:
            return False
        found = ipaddress.ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._networks)


def environ(incoming: Incoming, peer: str | None, proxies: Proxies) -> dict[str, Any]:
    """Return the WSGI environment.

    It leaves out headers with an underscore: WSGI gives `X_Forwarded_For` and `X-Forwarded-For` the same name.
    """
    client = proxies.client(peer, incoming)
    body = incoming.body or b""
    made: dict[str, Any] = {
        "REQUEST_METHOD": incoming.method,
        "SCRIPT_NAME": client.prefix,
        "PATH_INFO": incoming.path.decode("latin-1"),
        "RAW_URI": quote_from_bytes(incoming.path),
        "QUERY_STRING": incoming.query.decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{incoming.version}",
        "SERVER_NAME": "order-service",
        "SERVER_PORT": "443" if client.scheme == "https" else "80",
        "REMOTE_ADDR": client.address,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": client.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in incoming.headers:
        if "_" in name or name in ("content-length", "transfer-encoding"):
            continue
        key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}"
        made[key] = f"{made[key]},{value}" if key in made else value
    if body:
        made["CONTENT_LENGTH"] = str(len(body))
    if client.host is not None:
        made["HTTP_HOST"] = client.host
    return made


def _last(incoming: Incoming, name: str) -> str:
    """Return the nearest proxy's value: each proxy appends its own to the values that it received."""
    return ",".join(incoming.values(name)).rpartition(",")[2].strip()
