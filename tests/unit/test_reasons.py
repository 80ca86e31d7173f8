"""Why PostgreSQL is away, told by libpq's text whatever else is in it."""

import psycopg2
import pytest

from app.database.reasons import reason_of

CLOSED = "it closes the connection"
TLS = "TLS could not be agreed on: see sslmode and the certificates"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "orders", database "d", SSL encryption',
            "pg_hba.conf does not let this user in (28000)",
        ),
        ('FATAL:  password authentication failed for user "TLSuser"', "it refuses the user's password (28P01)"),
        ('FATAL:  role "certificate" does not exist', "the user does not exist (28000)"),
        ('FATAL:  database "SSL error" does not exist', "the database does not exist (3D000)"),
        ("SSL connection has been closed unexpectedly", CLOSED),
        ("SSL SYSCALL error: Connection reset by peer", CLOSED),
        ("SSL SYSCALL error: EOF detected", CLOSED),
        ("server does not support SSL, but SSL was required", TLS),
        ("SSL error: certificate verify failed", TLS),
        ('root certificate file "/nowhere" does not exist', TLS),
        ('server certificate for "db" does not match host name "10.0.0.1"', TLS),
    ],
)
def test_the_reason_is_the_troubles_not_a_name_or_the_way_it_came(text: str, sentence: str) -> None:
    assert reason_of(psycopg2.OperationalError(text)).sentence == sentence
