"""What tracing costs createOrder: off, with a trace that is only handed on, and with spans of 1 % and of all calls.

All relay their events, because an event's record has a span too. The collector takes everything, in a process of its
own, so its CPU is not the service's.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.benchmarks.bench import Bench
from tests.benchmarks.cases import case
from tests.benchmarks.measure import interleaved
from tests.benchmarks.rounds import CREATE, Writes
from tests.benchmarks.table import Result, sample_table

OFF = "createOrder, TRACING=off"
HANDED_ON = "createOrder, TRACING=off, with a traceparent"
RARE = "createOrder, TRACING=otlp, 1 %"
ALL = "createOrder, TRACING=otlp, 100 %"
TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"
_COLLECTOR = "from tests.harness.collector import run; run()"


@case("tracing", by_name=True)
def tracing(bench: Bench) -> Result:
    """All four in turn."""
    with collector() as url:
        sides = [
            _side(bench, "tracing_off", OFF),
            _side(bench, "tracing_handed_on", HANDED_ON, TRACE),
            _side(bench, "tracing_rare", RARE, **_sampled(url, "0.01")),
            _side(bench, "tracing_all", ALL, **_sampled(url, "1.0")),
        ]
        found = interleaved(sides, bench.options.rounds, bench.options.seconds)
    shown = {name: found[name] for name in (OFF, HANDED_ON, RARE, ALL)}  # each is there once more with its events
    off = found[OFF].server_cpu or 0.0
    handed_on, rare, all_ = ((found[name].server_cpu or 0.0) / off - 1 for name in (HANDED_ON, RARE, ALL))
    costs = f"of the service's CPU to hand a trace on {handed_on:+.1%}, spans of 1 % {rare:+.1%}, of all {all_:+.1%}"
    return Result(sections={"tracing": [f"It costs {costs}.", "", *sample_table(shown)]})


def _sampled(url: str, ratio: str) -> dict[str, str]:
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
    return {"TRACING": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": url, **sampler}


def _side(bench: Bench, database: str, name: str, traceparent: str = "", **settings: str) -> Writes:
    served = bench.ours(bench.database(database), name, None, **settings)
    return Writes(bench, served, replace(CREATE, traceparent=traceparent), "ORDER_CREATED")


@contextmanager
def collector() -> Iterator[str]:
    """Run a collector in a process of its own; yields its address."""
    with subprocess.Popen([sys.executable, "-c", _COLLECTOR], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
