"""The text of an environment variable -> the value of a setting. A parser raises ValueError: what the text must be."""

import importlib.util
import ipaddress
import re
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_INTERNAL_TOPICS = ("__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def number(low: int, high: int) -> Callable[[str], int]:
    """Return the parser of a whole number within the bounds."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def choice(*names: str) -> Callable[[str], str]:
    """Return the parser of one of the names, in any case; an empty name stands for none."""
    by_text = {name.lower(): name for name in names}

    def parse(value: str) -> str:
        if value.lower() not in by_text:
            raise ValueError(f"must be one of {', '.join(filter(None, names))}{', or empty' if '' in names else ''}")
        return by_text[value.lower()]

    return parse


def group_id(value: str) -> str:
    """Return the name of a consumer group."""
    if not value.isprintable() or value != value.strip() or not 1 <= len(value) <= 255:
        raise ValueError("must be 1 to 255 printable characters without spaces at its ends")
    return value


def topic(value: str) -> str:
    """Return the name of a topic."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value) or value in (".", ".."):
        raise ValueError("must be a Kafka topic name: 1 to 249 of the characters A-Z a-z 0-9 . _ -")
    if value in _INTERNAL_TOPICS:
        raise ValueError("must be a topic that is not Kafka's own")
    return value


def servers(value: str) -> tuple[str, ...]:
    """Return host:port of each server. Kafka's client accepts a protocol before the host and then does not speak it."""
    found = tuple(_parts(value))
    if not found or not all(map(_is_server, found)):
        raise ValueError("must be a comma list of host:port, without a protocol, an IPv6 address in brackets")
    return found


def hosts(value: str) -> tuple[str, ...]:
    """Return the addresses to listen on, without brackets."""
    found = tuple(part.strip("[]") for part in _parts(value))
    if not found or not all(host in ("*", "localhost") or is_address(host) for host in found):
        raise ValueError("must be *, localhost, or a comma list of IP addresses of this machine")
    return found


def networks(value: str) -> tuple[Network, ...]:
    """Return the networks; a single address is a network of one."""
    try:
        return tuple(
            ipaddress.ip_network(network)
            for part in _parts(value)
            for network in (("0.0.0.0/0", "::/0") if part == "*" else (part,))
        )
    except ValueError:
        raise ValueError(
            "must be a comma list of IP addresses and networks such as 10.0.0.0/8, * for all, or empty for none"
        ) from None


def origins(value: str) -> tuple[str, ...]:
    """Return the origins as browsers send them: in lower case, without a path, without the scheme's default port."""
    found = tuple(map(_origin, _parts(value)))
    if value and not found:
        raise ValueError("must be a comma list of origins, or empty for none")
    return found


def certificates(value: str) -> str:
    """Return the path of a file with CA certificates, which may be empty. Blocks for a file's read."""
    try:
        if value:
            ssl.create_default_context(cafile=value)
    except (OSError, ValueError):
        raise ValueError("must be a file with CA certificates (PEM)") from None
    return value


def printable(value: str) -> str:
    """Return the text; it may be empty."""
    if not value.isprintable() or value != value.strip() or len(value) > 1000:
        raise ValueError("must be at most 1000 printable characters without spaces at the ends")
    return value


def printable_list(value: str) -> tuple[str, ...]:
    """Return the texts of a comma list, which may be empty."""
    return tuple(_parts(printable(value)))


def names_of(*names: str) -> Callable[[str], tuple[str, ...]]:
    """Return the parser of a comma list of some of the names."""

    def parse(value: str) -> tuple[str, ...]:
        found = tuple(_parts(value))
        if not found or not set(found) <= set(names):
            raise ValueError(f"must be a comma list of some of {', '.join(names)}")
        return found

    return parse


def time_of_day(value: str) -> str:
    """Return the time as HH:MM; it may be empty."""
    if value and not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueError("must be a time of the day in UTC such as 03:30, or empty")
    return value


def claim(value: str) -> str:
    """Return the name of a claim, or the path to it."""
    if not re.fullmatch(r"[!-~]{1,255}", value):
        raise ValueError("must be the name of a claim: 1 to 255 printable ASCII characters without spaces")
    return value


def jwks_url(value: str) -> str:
    """Return the URL, which may be empty. Plain http could be read and changed on its way, so it must stay here."""
    if not value:
        return value
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        is_plain = parts.scheme == "http" and _is_loopback(host)
        fits = (is_plain or parts.scheme == "https") and bool(host) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or "@" in value or "#" in value or not re.fullmatch(r"[!-~]{1,1000}", value):
        raise ValueError("must be an https URL without user, password and fragment, or an http URL of this machine")
    return value


def without_query(url: str) -> str:
    """Return the URL as the log may show it: some providers have a key in the query."""
    return url.partition("?")[0]


def is_address(value: str, *versions: int) -> bool:
    """Tell whether the text is an IP address; of one of the versions where some are given."""
    try:
        return ipaddress.ip_address(value).version in (versions or (4, 6))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _is_server(value: str) -> bool:
    host, _, port = value.rpartition(":")
    is_name = re.fullmatch(r"[A-Za-z0-9._-]{1,255}", host) is not None
    is_ipv6 = host.startswith("[") and host.endswith("]") and is_address(host[1:-1], 6)
    return (is_name or is_ipv6) and re.fullmatch(r"[0-9]{1,5}", port) is not None and 1 <= int(port) <= 65535


def _origin(value: str) -> str:
    match = re.fullmatch(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?", value.lower())
    if match is None or not 1 <= int(match[3] or 1) <= 65535:
        raise ValueError(
            "must be a comma list of origins as browsers send them, such as https://orders.example or "
            "http://localhost:5173: a scheme, a host (xn--... for other letters), a port if need be, nothing behind it"
        )
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{int(port)}"


def tracing(value: str) -> str:
    """Read TRACING; `otlp` needs an extra of the installation."""
    mode: str = choice("off", "otlp")(value)
    if mode == "otlp":
        try:
            found = importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise ValueError("must be off while the packages of requirements-tracing.txt are not installed")
    return mode
