"""Addresses of PostgreSQL in the forms of libpq and of SQLAlchemy: one form that both read alike."""

import socket
from pathlib import Path

import pytest
from psycopg2.extensions import parse_dsn
from sqlalchemy import create_engine, make_url

from app.database.url import hosts_of, libpq_url, normalized, place_of, sslmode_of, without_secrets

TWO = {"user": "u", "password": "p", "dbname": "db", "host": "a,b", "port": "1,2"}
ADDRESSES = [
    ("postgresql://u:p@h:5433/db", {"user": "u", "password": "p", "dbname": "db", "host": "h", "port": "5433"}),
    ("postgresql://u:p@a:1,b:2/db", TWO),
    ("postgresql://u:p@/db?host=a:1&host=b:2", TWO),
    ("postgresql+psycopg2://u:p@/db?host=a:1,b:2", TWO),
    ("postgresql://u:p@/db?host=a,b&port=1,2", TWO),
    ("postgres://a,b:2/db", {"dbname": "db", "host": "a,b", "port": ",2"}),
    ("postgresql://[::1]:5/db", {"dbname": "db", "host": "::1", "port": "5"}),
    ("postgresql:///db?host=[::1]:5&host=b:6", {"dbname": "db", "host": "::1,b", "port": "5,6"}),
    ("postgresql:///db?host=/run/postgresql", {"dbname": "db", "host": "/run/postgresql"}),
    ("postgresql://h/db?options=-csearch_path=x,y", {"dbname": "db", "host": "h", "options": "-csearch_path=x,y"}),
    ("postgresql://h/db?options=-c%20jit%3Doff", {"dbname": "db", "host": "h", "options": "-c jit=off"}),
    ("postgresql://h/db?ssl=true", {"dbname": "db", "host": "h", "sslmode": "require"}),
    ("postgresql://u:p%40%2F s@h/db", {"user": "u", "password": "p@/ s", "dbname": "db", "host": "h"}),
]


@pytest.mark.parametrize(("url", "parameters"), ADDRESSES)
def test_libpq_and_sqlalchemy_read_the_same(url: str, parameters: dict[str, str]) -> None:
    made = normalized(url)
    assert parse_dsn(libpq_url(made)) == parameters
    _, given = create_engine(made).dialect.create_connect_args(make_url(made))
    assert {name: str(value) for name, value in given.items()} == parameters
    assert normalized(made) == made


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("postgresql://h/db?nonsense=1", "it does not know nonsense"),
        ("postgresql://h/db?sslmode=nonsense", "verify-full as sslmode"),
        ("postgresql://h/db?target_session_attrs=leader", "as target_session_attrs"),
        ("postgresql://u:hidden@h/db?ssl_min_protocol_version=TLSv9", "it refuses ssl_min_protocol_version"),
        ("postgresql://h/db?require_auth=hidden", "it refuses require_auth"),
        ("postgresql://h/db?service=hidden", "it refuses service"),
        ("postgresql://h/db?sslcertmode=hidden", "it refuses sslcertmode"),
        (
            "postgresql://h/db?ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1",
            "it refuses what they are together",
        ),
        ("postgresql://h/db?hostaddr=hidden", "an IP address as hostaddr"),
        ("postgresql://h/db\n", "spaces or line breaks at its ends"),
        ("postgresql://h:70000/db", "ports from 1 to 65535"),
        ("postgresql://a:1,b:2,c:3/db?port=1,2", "as many as hosts"),
        ("postgresql://u:hidden%zz@h/db", "as %25 %40"),
        ("postgresql://u:what?hidden=1@h/db", "as %25 %40"),
    ],
)
def test_what_could_never_connect_is_refused_in_a_sentence(url: str, part: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refused:
        normalized(url)
    assert part in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_what_libpq_takes_is_taken_and_nobody_is_connected_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        service = tmp_path / "services"
        service.write_text(f"[there]\nhostaddr=127.0.0.1\nport={listener.getsockname()[1]}\ngssencmode=require\n")
        monkeypatch.setenv("PGSERVICEFILE", str(service))
        normalized("postgresql://u:p@127.0.0.1/db?service=there&require_auth=scram-sha-256&hostaddr=127.0.0.1,::1")
        normalized("postgresql://h/db?gssencmode=require&ssl_min_protocol_version=TLSv1.3&sslrootcert=/nowhere")
        with pytest.raises(TimeoutError):
            listener.accept()


def test_what_is_shown_is_the_place_of_every_host() -> None:
    url = normalized("postgresql://u:hidden@a:1,b:2/db?sslpassword=hidden&target_session_attrs=read-write")
    assert without_secrets(url) == "postgresql+psycopg2://u:***@/db?host=a%2Cb&port=1%2C2"


def test_an_operator_is_told_of_every_host() -> None:
    assert place_of(normalized("postgresql://u:p@a:1,b/db")) == ("db", "a:1, b:5432", "u")
    assert place_of(normalized("postgresql:///db")) == ("db", "localhost:5432", "")
    assert place_of(normalized("postgresql://a,b/db")) == ("db", "a:5432, b:5432", "")


@pytest.mark.parametrize(
    ("url", "environment", "hosts", "sslmode"),
    [
        ("postgresql:///db", {}, [""], "prefer"),
        ("postgresql://a,b:1/db?sslmode=require", {}, ["a", "b"], "require"),
        ("postgresql://a/db?hostaddr=10.0.0.1", {}, ["10.0.0.1"], "prefer"),
        ("postgresql:///db?service=prod", {}, ["", "service prod"], "prefer"),
        ("postgresql:///db", {"PGHOST": "far", "PGSSLMODE": "verify-full"}, ["far"], "verify-full"),
        ("postgresql:///db", {"PGHOST": "near", "PGHOSTADDR": "10.0.0.1"}, ["10.0.0.1"], "prefer"),
        ("postgresql:///db", {"PGSERVICE": "prod"}, ["", "service prod"], "prefer"),
        ("postgresql://a/db?sslmode=require", {"PGHOST": "far", "PGSSLMODE": "disable"}, ["a"], "require"),
    ],
)
def test_where_an_address_leads_and_how_is_read_as_libpq_does(
    url: str, environment: dict[str, str], hosts: list[str], sslmode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (hosts_of(url), sslmode_of(url)) == (hosts, sslmode)
