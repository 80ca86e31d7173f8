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
        ("SSL error: wrong version number", TLS),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "TLS", database "SSL encryption", no encryption',
            "pg_hba.conf does not let this user in, not without TLS at least (28000)",
        ),
        (
            'FATAL:  password authentication failed for user "u"\nconnection to server at "h" failed: FATAL:  '
            'no pg_hba.conf entry for host "10.0.0.7", user "u", database "d", no encryption',
            "it refuses the user's password (28P01)",
        ),
        (
            'could not read root certificate file "/ca": no certificate or crl found',
            "the file sslrootcert, with the certificates of authorities, is missing or cannot be read",
        ),
        ('could not open certificate file "/c": No such file or directory', "the file sslcert cannot be read"),
        (
            "channel binding required, but server authenticated client without channel binding",
            "channel_binding=require needs TLS and a password in scram-sha-256",
        ),
    ],
)
def test_the_reason_is_the_troubles_not_a_name_or_the_way_it_came(text: str, sentence: str) -> None:
    assert reason_of(psycopg2.OperationalError(text)).sentence == sentence
