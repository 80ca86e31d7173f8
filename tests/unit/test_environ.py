"""What a request is for Flask, and whom of those in front of the service it believes."""

from typing import Any

import pytest

from app.config.config import Settings
from app.server.environ import Proxies, environ
from app.server.incoming import Incoming

FORWARDED = [
    ("x-forwarded-for", "203.0.113.9, 10.0.0.2"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "orders.example"),
    ("x-forwarded-prefix", "/shop"),
]


def environment(
    *headers: tuple[str, str], peer: str | None = "10.0.0.1", trusted: str = "10.0.0.0/8"
) -> dict[str, Any]:
    incoming = Incoming("GET", b"/apidocs", b"a=b", "1.1", [("host", "inside"), *headers])
    return environ(incoming, peer, Proxies(Settings.load({"FORWARDED_ALLOW_IPS": trusted}).forwarded_allow_ips))


def seen(found: dict[str, Any]) -> tuple[str, ...]:
    return tuple(found[name] for name in ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SCRIPT_NAME", "SERVER_PORT"))


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.0.0.1", "10.0.0.1, 10.0.0.2"),
        ("10.0.0.1", "10.0.0.0/8"),
        ("::ffff:10.0.0.1", "10.0.0.0/8"),
        ("fe80::1%eth0", "fe80::/10,10.0.0.2"),
    ],
)
def test_a_trusted_proxy_is_believed(peer: str, trusted: str) -> None:
    found = environment(*FORWARDED, peer=peer, trusted=trusted)
    assert seen(found) == ("203.0.113.9", "https", "orders.example", "/shop", "443")


@pytest.mark.parametrize(("peer", "trusted"), [("127.0.0.1", ""), ("203.0.113.1", "10.0.0.0/8"), (None, "*")])
def test_nobody_else_is(peer: str | None, trusted: str) -> None:
    found = environment(*FORWARDED, ("x-forwarded-proto", "gopher"), peer=peer, trusted=trusted)
    assert seen(found) == (peer or "", "http", "inside", "", "80")


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.7, 203.0.113.9", "203.0.113.9"),  # the first one is what the client said
        ("198.51.100.7, 203.0.113.9, 10.0.0.3", "203.0.113.9"),
        ("10.0.0.5", "10.0.0.5"),
        ("nonsense", "10.0.0.1"),
        ("203.0.113.9, nonsense", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxys(named: str, address: str) -> None:
    assert environment(("x-forwarded-for", named))["REMOTE_ADDR"] == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "a b"),
        ("x-forwarded-host", "a/b"),
        ("x-forwarded-prefix", "//evil.example"),
        ("x-forwarded-prefix", "shop"),
        ("x-forwarded-prefix", "/a b"),
        ("x-forwarded-prefix", "/"),
    ],
)
def test_what_cannot_be_so_is_passed_over(name: str, value: str) -> None:
    assert seen(environment((name, value)))[1:4] == ("http", "inside", "")


def test_the_nearest_proxy_has_the_last_word() -> None:
    found = environment(
        ("x-forwarded-proto", "http, https"), ("x-forwarded-prefix", "/x"), ("x-forwarded-prefix", "/y/")
    )
    assert seen(found)[1:4:2] == ("https", "/y")


def test_no_header_takes_the_place_of_another_or_of_a_variable() -> None:
    """WSGI has one name for `X-A` and `X_A`."""
    found = environment(
        ("script_name", "/shop"),
        ("script-name", "/shop"),
        ("content_length", "7"),
        ("x_correlation_id", "theirs"),
        ("x-correlation-id", "ours"),
        ("transfer-encoding", "chunked"),
        ("x-a", "1"),
        ("x-a", "2"),
    )
    assert (found["SCRIPT_NAME"], found["HTTP_X_CORRELATION_ID"], found["HTTP_X_A"]) == ("", "ours", "1,2")
    assert "CONTENT_LENGTH" not in found
    assert "HTTP_TRANSFER_ENCODING" not in found
