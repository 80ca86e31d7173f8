"""What TLS to PostgreSQL costs createOrder: one server, Debian's, which this service reaches with and without TLS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.benchmarks.bench import Bench
from tests.benchmarks.cases import case
from tests.benchmarks.measure import interleaved
from tests.benchmarks.rounds import CREATE, Writes
from tests.benchmarks.servers import TunedPostgres
from tests.benchmarks.table import Result, sample_table
from tests.harness.tls import TlsPostgres

MODES = {"disable": "createOrder, plain", "verify-full": "createOrder over TLS"}
"""How each side connects (`sslmode`), and its name."""


class TunedTls(TunedPostgres, TlsPostgres):
    """Takes connections with TLS and without it."""

    let_in = "host all all all scram-sha-256\n"


@case("tls", by_name=True)
def tls(bench: Bench) -> Result:
    """Each round: both, one after the other; the events stay in the outbox."""
    with debian(bench) as other:
        sides = [side(other, mode, name) for mode, name in MODES.items()]
        found = interleaved(sides, bench.options.rounds, bench.options.seconds)
        other.clear()
    plain, encrypted = (found[name].server_cpu or 0.0 for name in MODES.values())
    there, here = (found[name].postgres_cpu or 0.0 for name in MODES.values())
    shares = f"{encrypted / plain - 1:+.1%} of the service's CPU, {here / there - 1:+.1%} of PostgreSQL's"
    return Result(sections={"tls": [f"TLS costs {shares}.", "", *sample_table(found)]})


def side(bench: Bench, mode: str, name: str) -> Writes:
    """Start this service on a database of its own, with this `sslmode`; return its rounds."""
    postgres = bench.postgres
    assert isinstance(postgres, TunedTls)
    database = f"tls_{mode.replace('-', '_')}"
    url = postgres.url(database, sslmode=mode)
    served = bench.ours(bench.database(database), name, ROLES="api", DATABASE_URL=url)
    return Writes(bench, served, CREATE, "ORDER_CREATED", relayed=False)


@contextmanager
def debian(bench: Bench) -> Iterator[Bench]:
    """The same run with Debian's PostgreSQL."""
    server = TunedTls(bench.folder / "tls")
    server.start()
    try:
        server.make_template()
        yield replace(bench, postgres=server)
    finally:
        server.kill()
