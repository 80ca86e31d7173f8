"""Where a URL leads: each host and address by itself, in libpq's order."""

import pytest
from psycopg2.extensions import parse_dsn

from app.database import places as module
from app.database.places import places

ADDRESSES = {"two.example": ["192.0.2.1", "2001:db8::1"], "one.example": ["192.0.2.9"]}
KEYS = ("host", "hostaddr", "port", "target_session_attrs")


MISFIT = ("as it is",)
"""What libpq refuses, it is left to."""


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_looked_up", lambda host, port: ADDRESSES.get(host, []))


def found(url: str) -> list[tuple[str | None, ...]]:
    return [tuple(parse_dsn(place).get(key) for key in KEYS) for place in places(url)]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://one.example/db", [("one.example", "192.0.2.9", "5432", None)]),
        (
            "postgresql://two.example:5433/db",
            [("two.example", "192.0.2.1", "5433", None), ("two.example", "2001:db8::1", "5433", None)],
        ),
        (
            "postgresql://one.example:1,two.example:2/db",
            [
                ("one.example", "192.0.2.9", "1", None),
                ("two.example", "192.0.2.1", "2", None),
                ("two.example", "2001:db8::1", "2", None),
            ],
        ),
        ("postgresql://unknown.example/db", [("unknown.example", None, "5432", None)]),
        ("postgresql:///db?host=/run/postgresql", [("/run/postgresql", None, "5432", None)]),
        ("postgresql:///db", [(None, None, None, None)]),
        ("postgresql:///db?service=orders", [(None, None, None, None)]),
        (
            "postgresql://one.example/db?hostaddr=192.0.2.7",
            [("one.example", "192.0.2.7", "5432", None)],
        ),
        ("postgresql://one.example,two.example/db?hostaddr=192.0.2.7", [MISFIT]),
        ("postgresql://one.example/db?hostaddr=192.0.2.7,192.0.2.8", [MISFIT]),
        (
            "postgresql://one.example,/db?target_session_attrs=prefer-standby",
            [
                ("one.example", "192.0.2.9", "5432", "standby"),
                ("", None, "5432", "standby"),
                ("one.example", "192.0.2.9", "5432", "any"),
                ("", None, "5432", "any"),
            ],
        ),
    ],
    ids=[
        "name",
        "two addresses",
        "two hosts",
        "unknown",
        "folder",
        "default",
        "service",
        "address",
        "more hosts",
        "more addresses",
        "standby first",
    ],
)
def test_a_url_leads_to_each_place_by_itself(url: str, expected: list[tuple[str | None, ...]]) -> None:
    if expected == [MISFIT]:
        assert [parse_dsn(place) for place in places(url)] == [parse_dsn(url)]
    else:
        assert found(url) == expected


def test_everything_else_of_the_url_stays() -> None:
    [place] = places("postgresql://u:p%40s@one.example/db?sslmode=verify-full")
    kept = parse_dsn(place)
    assert (kept["user"], kept["password"], kept["dbname"], kept["sslmode"]) == ("u", "p@s", "db", "verify-full")


def test_random_balance_tries_every_host() -> None:
    url = "postgresql://one.example,two.example/db?load_balance_hosts=random"
    assert {place[1] for place in found(url)} == {"192.0.2.9", "192.0.2.1", "2001:db8::1"}
