"""What TLS to Kafka costs the relay: one broker, which this service reaches in plain text and by SCRAM over TLS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.benchmarks.bench import Bench
from tests.benchmarks.cases import case
from tests.benchmarks.cases.relay import Events
from tests.benchmarks.measure import interleaved
from tests.benchmarks.servers import SeenBroker
from tests.benchmarks.table import Result, sample_table
from tests.harness.secure_broker import SecureBroker

PLAIN, ENCRYPTED = "relay, plain text", "relay, SCRAM over TLS"


class SeenSecureBroker(SecureBroker, SeenBroker):
    """Takes clients in every way."""


@case("kafka_tls", by_name=True)
def kafka_tls(bench: Bench) -> Result:
    """Each round: both, one after the other."""
    with secured(bench) as other:
        broker = other.broker
        assert isinstance(broker, SeenSecureBroker)
        ways: dict[str, dict[str, str]] = {PLAIN: {}, ENCRYPTED: broker.login(bench.folder)}
        sides = [
            Events(other, other.ours(bench.database(f"kafka_tls_{number}"), name, None, **way))
            for number, (name, way) in enumerate(ways.items())
        ]
        found = interleaved(sides, bench.options.rounds, bench.options.seconds)
        other.clear()
    plain, encrypted = found[PLAIN], found[ENCRYPTED]
    cpu = (encrypted.server_cpu or 0.0) / (plain.server_cpu or 1.0) - 1
    rate = (encrypted.rate or 0.0) / (plain.rate or 1.0)
    cost = f"SCRAM over TLS costs the relay {cpu:+.1%} of its CPU per event; it sends {rate:.2f} "
    return Result(sections={"kafka_tls": [f"{cost}times as many events a second.", "", *sample_table(found)]})


@contextmanager
def secured(bench: Bench) -> Iterator[Bench]:
    """The same run with another broker."""
    broker = SeenSecureBroker(bench.folder / "secure")
    broker.start()
    try:
        broker.grant_all()
        yield replace(bench, broker=broker, _closing=[])
    finally:
        broker.kill()
