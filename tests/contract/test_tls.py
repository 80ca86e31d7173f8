"""PostgreSQL behind TLS: what is refused says what to mend, and certificates are replaced without a restart."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from app.database.connection import connect
from app.database.database import Database
from app.database.pool import Pool
from app.database.schema import migrate
from app.database.statement import Statement
from app.models.errors import ConnectionRefused
from app.utils.deadline import Deadline
from tests.contract.conftest import make_app
from tests.harness.builders import Caller, create_body
from tests.harness.tls import CERTIFIED, Authority, TlsPostgres
from tests.harness.waiting import until
from tools.stack.postgres import Postgres

AUTHORITY = "its certificate is expired, or not signed by an authority in the file sslrootcert"
HOST = "its certificate is for another host name than the URL's (sslmode=verify-full)"
SERIAL = Statement("serial", {}, "SELECT client_serial::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


@pytest.fixture(scope="module")
def tls_url(tls_postgres: TlsPostgres) -> str:
    address = tls_postgres.create_database("tls")
    migrate(address)
    with closing(psycopg2.connect(address)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {CERTIFIED} SUPERUSER LOGIN")
    return address


@pytest.fixture
def strangers(tmp_path: Path) -> Authority:
    """An authority that neither side knows."""
    return Authority(tmp_path / "strangers")


@contextmanager
def presented(server: TlsPostgres, certificate: Path, key: Path) -> Iterator[None]:
    """In the body the server shows this certificate to new connections."""
    server.present(certificate, key)
    try:
        yield
    finally:
        server.present(*server.authority.issue("server"))


def told(url: str, caplog: pytest.LogCaptureFixture) -> str:
    """What a service at this address says of its database, in /readyz and in the log."""
    client = make_app(url).test_client()
    assert client.get("/orders").status_code == 503
    reason: str = client.get("/readyz").get_json()["parts"]["database"]["reason"]
    # The threads of earlier services try on, and may have a word of their own.
    said = [record.message for record in caplog.records if record.threadName != "database-prober"]
    assert said == [f"database away: {reason}"]
    return reason


def as_certified(url: str, certificate: Path, key: Path) -> str:
    return f"{url.replace('//postgres:postgres@', f'//{CERTIFIED}@')}&sslcert={certificate}&sslkey={key}"


def test_with_a_verified_host_and_channel_binding_orders_are_made(tls_url: str) -> None:
    caller = Caller(make_app(f"{tls_url}&channel_binding=require").test_client())
    assert caller.get("/getOrderDetails", orderId=caller.new("CREATED")).status_code == 200
    with closing(connect(tls_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True, "TLSv1.3")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda url: url.replace("@localhost:", "@127.0.0.1:"), HOST),
        (lambda url: url.replace("postgres:postgres", "postgres:hidden"), "it refuses the user's password (28P01)"),
        (
            lambda url: url.replace("verify-full", "disable"),
            "pg_hba.conf does not let this user in, not without TLS at least (28000)",
        ),
        (
            lambda url: url.replace("authority.pem", "nowhere.pem"),
            "the file sslrootcert, with the certificates of authorities, is missing or cannot be read",
        ),
        (
            lambda url: url.replace("//postgres:postgres@", f"//{CERTIFIED}@"),
            "it asks for a client certificate: see sslcert and sslkey (28000)",
        ),
    ],
)
def test_what_is_refused_says_what_to_mend(
    tls_url: str, spoil: Callable[[str], str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(spoil(tls_url), caplog) == reason


def test_a_server_of_an_unknown_authority_is_refused(
    tls_url: str, strangers: Authority, tls_postgres: TlsPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(tls_url.replace(str(tls_postgres.authority.file), str(strangers.file)), caplog) == AUTHORITY


def test_an_expired_certificate_is_refused(
    tls_url: str, tls_postgres: TlsPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    with presented(tls_postgres, *tls_postgres.authority.issue("expired", days=-1)):
        until_refused(tls_url)
        assert told(tls_url, caplog) == AUTHORITY


def test_a_server_without_tls_is_refused(postgres: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    url = f"{postgres.url()}?sslmode=require"
    assert told(url, caplog) == "it speaks no TLS, and sslmode asks for it"


@pytest.mark.parametrize(
    ("choose", "reason"),
    [
        (lambda ours, strangers: strangers.issue(CERTIFIED), "it refuses the client certificate in the file sslcert"),
        (
            lambda ours, strangers: ours.issue(CERTIFIED, days=-1),
            "it refuses the client certificate in the file sslcert",
        ),
        (
            lambda ours, strangers: ours.issue("somebody"),
            "the client certificate in the file sslcert names another user (28000)",
        ),
        (
            lambda ours, strangers: (ours.issue(CERTIFIED)[0], ours.issue("somebody")[1]),
            "the file sslkey is missing, is not the key of sslcert, or may be read by others",
        ),
    ],
)
def test_a_refused_client_certificate_says_what_to_mend(
    tls_url: str,
    tls_postgres: TlsPostgres,
    strangers: Authority,
    choose: Callable[[Authority, Authority], tuple[Path, Path]],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert told(as_certified(tls_url, *choose(tls_postgres.authority, strangers)), caplog) == reason


def test_a_client_certificate_is_read_at_each_connection(tls_url: str, tls_postgres: TlsPostgres) -> None:
    certificate, key = tls_postgres.authority.issue(CERTIFIED)
    database = Database(as_certified(tls_url, certificate, key))
    pool = Pool(database, 2)
    with pool.transaction(Deadline(5)) as session:
        (first,) = session.execute(SERIAL)
        assert tls_postgres.authority.issue(CERTIFIED) == (certificate, key)
        (second,) = pool.run(SERIAL, (), Deadline(5))  # by a new connection
        assert session.execute(SERIAL) == [first]
    assert None not in (*first, *second)
    assert first != second
    database.drop_idle()


def test_a_server_moves_to_another_authority_under_load(
    tls_url: str, tls_postgres: TlsPostgres, strangers: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the server's certificate, then the file sslrootcert: in between the open connections do all the work."""
    monkeypatch.setattr("app.database.database.REFUSED_SECONDS", 0.1)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(tls_postgres.authority.file.read_bytes())
    app = make_app(tls_url.replace(str(tls_postgres.authority.file), str(trusted)), DATABASE_POOL="4")
    orders: Pool = app.extensions["order_service"]._orders._pool
    fill(orders, 4)
    stop, answers = threading.Event(), list[int]()

    def call() -> None:
        caller = Caller(app.test_client())
        while not stop.is_set():
            answers.append(caller.post("/createOrder", create_body()).status_code)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for thread in callers:
        thread.start()
    try:
        with presented(tls_postgres, *strangers.issue("server")):
            until_refused(tls_url)
            await_more(answers, 50)
            with pytest.raises(ConnectionRefused):
                Pool(orders._database, 1).run(SERIAL, (), Deadline(5))
            assert (orders.away, orders._database.available) == (AUTHORITY, True)
            await_more(answers, 50)
            trusted.write_bytes(strangers.file.read_bytes())
            until(lambda: orders.away is None, "new connections", 30)
            orders.drop_idle()  # each is opened anew
            await_more(answers, 50)
    finally:
        stop.set()
        for thread in callers:
            thread.join()
    assert set(answers) == {201}


def fill(pool: Pool, connections: int) -> None:
    """Have so many connections in use at once."""
    with pool.transaction(Deadline(5)) as session:
        session.execute(SERIAL)
        if connections > 1:
            fill(pool, connections - 1)


def await_more(answers: list[int], count: int) -> None:
    before = len(answers)
    until(lambda: len(answers) >= before + count, f"{count} more answers", 20)


def until_refused(url: str) -> None:
    """The server takes a new certificate up a moment after it was told to."""

    def refused() -> bool:
        try:
            psycopg2.connect(url).close()
        except psycopg2.OperationalError:
            return True
        return False

    until(refused, "a refused certificate", 30)
