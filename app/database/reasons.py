"""Why PostgreSQL is away, in a sentence of the service's own: libpq's may hold parts of the URL.

A refused connection has no SQLSTATE in psycopg2, so libpq's English text tells the reasons apart. For a server that
speaks another language the sentence has no reason.
"""

import re
from dataclasses import dataclass

import psycopg2

from app.database.connection import NoPassword, RefusedWithFile, SharedSession, WrongEncoding
from app.database.primaries import OldPrimary
from app.models.errors import DatabaseError


@dataclass(frozen=True, slots=True)
class Reason:
    """`lasts`: until a person mends it. `full`: the server answers, and only has no connection to spare.

    `for_new`: the server lets no new connection in; those that are open go on.
    """

    sentence: str
    lasts: bool = False
    full: bool = False
    for_new: bool = False


def _not_let_in(sentence: str) -> Reason:
    return Reason(sentence, lasts=True, for_new=True)


_SHARED = Reason(
    "a pooler gives each transaction another session: the service needs sessions of its own "
    "(pool_mode=session, or a direct address)",
    lasts=True,
)
_PASSWORD = _not_let_in("it refuses the user's password (28P01)")
_PASSWORD_OF_FILE = _not_let_in("it refuses the password in DATABASE_PASSWORD_FILE (28P01)")
_TLS: tuple[tuple[str, Reason], ...] = (
    (
        "does not match host name",
        _not_let_in("its certificate is for another host name than the URL's (sslmode=verify-full)"),
    ),
    (
        "certificate verify failed",
        _not_let_in("its certificate is expired, or not signed by an authority in the file sslrootcert"),
    ),
    (
        "root certificate file|root certificate store",
        _not_let_in("the file sslrootcert, with the certificates of authorities, is missing or cannot be read"),
    ),
    (
        "private key file",
        _not_let_in("the file sslkey is missing, is not the key of sslcert, or may be read by others"),
    ),
    ("certificate file", _not_let_in("the file sslcert cannot be read")),
    ("alert (unknown ca|.*certificate)", _not_let_in("it refuses the client certificate in the file sslcert")),
    (
        "requires a valid client certificate",
        _not_let_in("it asks for a client certificate: see sslcert and sslkey (28000)"),
    ),
    (
        "certificate authentication failed",
        _not_let_in("the client certificate in the file sslcert names another user (28000)"),
    ),
    ("does not support SSL", _not_let_in("it speaks no TLS, and sslmode asks for it")),
    ("channel binding", _not_let_in("channel_binding=require needs TLS and a password in scram-sha-256")),
)
_TEXTS: tuple[tuple[str, Reason], ...] = (
    (
        "too many clients|too many connections|slots are reserved|no more connections allowed",
        Reason("it has no connection to spare (53300)", full=True),
    ),
    *_TLS,
    ("unsupported startup parameter", Reason("the pooler in front refuses a parameter of the URL", lasts=True)),
    ("unrecognized configuration parameter", Reason("it does not know a setting of the URL (42704)", lasts=True)),
    ("pooling mode|prepared statement .* does not exist", _SHARED),
    (
        "could not translate host name|Name or service not known|nodename nor servname",
        Reason("its host name is not known"),
    ),
    # A server that lets users in over TLS only says so too after it has refused the password over TLS (sslmode=prefer).
    ("pg_hba.conf .* (SSL|GSS) encryption", _not_let_in("pg_hba.conf does not let this user in (28000)")),
    (
        "password authentication failed|no password supplied|SASL authentication failed|authentication failed",
        _PASSWORD,
    ),
    (
        "no pg_hba.conf entry|pg_hba.conf rejects",
        _not_let_in("pg_hba.conf does not let this user in, not without TLS at least (28000)"),
    ),
    ('role ".*" does not exist|no such user', _not_let_in("the user does not exist (28000)")),
    ("is not permitted to log in", _not_let_in("the user may not log in (28000)")),
    ('database ".*" does not exist|no such database', Reason("the database does not exist (3D000)", lasts=True)),
    (
        "permission denied for database",
        _not_let_in("the user has no right to connect to the database (42501)"),
    ),
    ("not currently accepting connections", Reason("the database takes no connections (55000)", lasts=True)),
    ("starting up|shutting down|in recovery mode|not yet accepting", Reason("it starts or stops (57P03)")),
    (
        "session is read-only|in hot standby mode|session is not read-only",
        Reason("no server is in the role that target_session_attrs asks for"),
    ),
    ("Connection refused|No such file or directory", Reason("nobody listens at its address")),
    ("timeout expired|timed out", Reason("it does not answer in time")),
    ("No route to host|Network is unreachable", Reason("there is no way to its host")),
    (
        "server closed the connection|Connection reset|terminating connection|SSL SYSCALL|connection has been closed",
        Reason("it closes the connection"),
    ),
    # Last: the texts of other troubles may name TLS too.
    (
        "support SSL|support TLS|SSL error|certificate|sslmode|require SSL",
        _not_let_in("TLS could not be agreed on: see sslmode and the certificates"),
    ),
)
_NAMES = re.compile(r'"[^"\n]*"')
_CODES = {
    "28P01": _PASSWORD,
    "28000": _not_let_in("it does not let the user in (28000)"),
    "3D000": Reason("the database does not exist (3D000)", lasts=True),
    "42501": Reason("the user has no right to do this (42501)", lasts=True),
    "53300": Reason("it has no connection to spare (53300)", full=True),
    "57P01": Reason("it ends connections (57P01)"),
    "57P03": Reason("it starts or stops (57P03)"),
    "25006": Reason("it is read-only (25006)"),
}


def reason_of(error: BaseException) -> Reason:
    """Return the reason that an error of psycopg2 or SQLAlchemy shows; of other errors the class alone."""
    if isinstance(error, SharedSession):
        return _SHARED
    if isinstance(error, OldPrimary):
        return Reason("it is an old primary: another server of its cluster was promoted since")
    if isinstance(error, WrongEncoding):
        return Reason(f"its encoding is {error}: the service needs a database in UTF8", lasts=True)
    if isinstance(error, NoPassword):
        return _not_let_in(f"DATABASE_PASSWORD_FILE {error}")
    original = getattr(error, "orig", None)  # SQLAlchemy's errors wrap psycopg2's, and ours are raised from either
    if original is None and isinstance(error, DatabaseError):
        original = error.__cause__
    if original is not None:
        return reason_of(original)
    code = getattr(error, "pgcode", None)
    if code:
        return _CODES.get(code) or Reason(f"it refuses (SQLSTATE {code})")
    if isinstance(error, psycopg2.Error):
        told = _NAMES.sub('""', str(error))  # users, databases and hosts may have any name
        for pattern, reason in _TEXTS:
            if re.search(pattern, told):
                return _PASSWORD_OF_FILE if reason is _PASSWORD and isinstance(error, RefusedWithFile) else reason
    return Reason(f"it cannot be reached ({type(error).__name__})")
