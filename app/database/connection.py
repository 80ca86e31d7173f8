"""The one way to connect to PostgreSQL, for the service, its migrations and the command line.

Settings are sent after connecting, in one message: poolers refuse the start-up parameter `options`. The settings are
those on which the code depends, because a database or a role may have other defaults (ALTER DATABASE … SET). Settings
that only decide where and how fast (search_path, work_mem, …) stay as they are, and so does
default_transaction_read_only.

Advisory locks, prepared statements and settings belong to a session. A pooler that gives each transaction another
server session breaks all of them in silence: two leaders send each event twice. So the first connection is tested
beside a second one: only a session that each of them always meets again is its own.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from types import MappingProxyType
from typing import Any

import psycopg2
import psycopg2.extras
from psycopg2.extensions import connection as Connection
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from app.database.places import places
from app.database.primaries import PRIMARIES
from app.database.timed import TimedConnection, timed
from app.database.url import hosts_of, libpq_url, password_file_of
from app.utils.deadline import Deadline
from app.utils.limits import CONNECT_SECONDS, IDLE_MS
from app.utils.secret_files import SecretUnusable, read_secret

NETWORK: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A connection is found dead after 19 s of silence, or 10 s without an acknowledgement."""
PINNED: dict[str, int | str] = {
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "bytea_output": "hex",
    "array_nulls": "on",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "jit": "off",  # compiling takes longer than any statement of the service
    "statement_timeout": 0,
    "lock_timeout": 0,
    "idle_session_timeout": 0,
    "idle_in_transaction_session_timeout": IDLE_MS,
}
"""The settings of every session, whatever the defaults of server, database and role are.

standard_conforming_strings is not among them: psycopg2 reads it once, when it connects, and would go on quoting for the
old value.
"""
TRANSACTION_TIMEOUT_SINCE = 170000
# A 201 promises that the order is on a disk, so `off` is overruled. Other values are the operator's choice.
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
_MARK = "SELECT pg_backend_pid(), set_config('order_service.session', %s, false)"
_LOOK = "SELECT pg_backend_pid(), current_setting('order_service.session', true)"
_ROUNDS = 3
_PATIENCE_SECONDS = 1.5
_ASK_SECONDS = 3.0

psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]  # for every connection: psycopg2 ships no types


class SharedSession(psycopg2.OperationalError):
    """A pooler runs this connection's transactions in sessions that other connections use too."""


class WrongEncoding(psycopg2.OperationalError):
    """The database cannot hold every character."""


class NoPassword(psycopg2.OperationalError):
    """The file with the password cannot be read; the text follows the name of its variable."""


class RefusedWithFile(psycopg2.OperationalError):
    """libpq's error of a connection whose password came from the file."""


def connect(
    url: str,
    settings: Mapping[str, int | str] = MappingProxyType({}),
    *,
    prove: bool = True,
    name: str = "order-service",
) -> Connection:
    """Return an autocommitting connection with the settings, such as `statement_timeout` in ms, beside PINNED.

    Blocks for CONNECT_SECONDS for each address, and for some seconds more at a server that freezes. Raises psycopg2's
    errors, among them WrongEncoding, NoPassword, RefusedWithFile, OldPrimary and, with `prove`, SharedSession.
    """
    connection = _open(url, name)
    try:
        if prove:
            with closing(_open(url, name)) as other:
                _require_own_sessions(connection, other)
        wanted = _settings(connection.server_version, settings)
        encoding = _ask(connection, f"{wanted}; SELECT current_setting('server_encoding')")[0]
        if encoding != "UTF8":
            raise WrongEncoding(encoding)
    except BaseException:
        connection.close()
        raise
    return connection


def engine(url: str) -> Engine:
    """Return SQLAlchemy's engine over such connections; it opens a new one for each use. Opens nothing by itself."""

    def creator() -> Any:
        connection = connect(url)
        connection.autocommit = False
        return connection

    return create_engine("postgresql+psycopg2://", creator=creator, poolclass=NullPool)


def _open(url: str, name: str) -> Connection:
    """Connect to the first place of the URL that answers within CONNECT_SECONDS. Raises the last place's error."""
    refusals: list[psycopg2.Error] = []
    opened = _answering(url, name, refusals)
    chosen = PRIMARIES.choose(url, opened) if len(hosts_of(url)) > 1 else next(opened, None)
    if chosen is None:
        raise refusals[-1] if refusals else psycopg2.OperationalError("the URL has no place")
    return chosen


def _answering(url: str, name: str, refusals: list[psycopg2.Error]) -> Iterator[Connection]:
    """Yield a connection to each place of the URL that answers; the errors of the others go to `refusals`."""
    password = _password(url)
    for place in places(libpq_url(url)):
        try:
            opened = _open_at(place, name, password)
        except psycopg2.Error as error:
            refusals.append(RefusedWithFile(str(error)) if password else error)
        else:
            yield opened


def _password(url: str) -> dict[str, str]:
    """Return libpq's parameter with what the file holds now; nothing where the address names no file."""
    path = password_file_of(url)
    try:
        return {} if path is None else {"password": read_secret(path)}
    except SecretUnusable as unusable:
        raise NoPassword(str(unusable)) from None


def _open_at(place: str, name: str, password: Mapping[str, str]) -> Connection:
    def timed_connection(dsn: str, *arguments: Any) -> TimedConnection:
        return TimedConnection(dsn, *arguments, connect_seconds=CONNECT_SECONDS)

    options = {**NETWORK, **password, "application_name": name, "client_encoding": "UTF8"}
    try:
        opened: Connection = psycopg2.connect(place, connection_factory=timed_connection, **options)
    except UnicodeError as error:  # libpq's messages are in the server's language
        raise psycopg2.OperationalError("refused, in another language") from error
    opened.autocommit = True
    return opened


def _settings(server_version: int, settings: Mapping[str, int | str]) -> str:
    wanted = {**PINNED, **settings}
    if server_version >= TRANSACTION_TIMEOUT_SINCE:
        wanted.setdefault("transaction_timeout", 0)
    durable = [] if "synchronous_commit" in settings else [_DURABLE]
    return "; ".join([*(f"SET {name} = '{value}'" for name, value in wanted.items()), *durable])


def _require_own_sessions(one: Connection, two: Connection) -> None:
    """Raise SharedSession unless each connection always meets the session that it met first.

    Each in turn holds a session in a transaction while the other asks for one: so a pooler must show its rule. The
    other asks once before, too: else a pooler that gives out its sessions in turn could give each always the same.
    """
    places = {one: _ask(one, _MARK, uuid.uuid4().hex), two: _ask(two, _MARK, uuid.uuid4().hex)}
    for holder, asked in ((two, one), (one, two)) * _ROUNDS:
        patience = Deadline(_PATIENCE_SECONDS)
        alone = _ask(asked, _LOOK)
        _ask(holder, "BEGIN; SELECT 1")
        with timed(holder, patience):  # a connection that waits for the holder's session gets it at the end of this
            found = _ask(asked, _LOOK)
        if patience.passed or {alone, found} != {places[asked]} or _ask(holder, _LOOK) != places[holder]:
            raise SharedSession("the pooler in front gives each transaction another session")
        _ask(holder, "ROLLBACK; SELECT 1")


def _ask(connection: Connection, message: str, *parameters: str) -> tuple[Any, ...]:
    with timed(connection, Deadline(_ASK_SECONDS)), connection.cursor() as cursor:
        cursor.execute(message, parameters)
        row: tuple[Any, ...] = cursor.fetchone() or ()
    return row
