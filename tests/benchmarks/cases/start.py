"""How long the service's own code takes to start: import and create_app in a fresh process, timed from inside."""

import os
import statistics
import subprocess
import sys

from tests.benchmarks.bench import Bench
from tests.benchmarks.cases import case
from tests.benchmarks.measure import Sample
from tests.benchmarks.table import Result, figure
from tests.harness.service import CHECKOUT

TIMES = 7
PROGRAM = """
import time
began, cpu = time.perf_counter(), time.process_time()
from app import create_app
create_app()
print(time.perf_counter() - began, time.process_time() - cpu)
"""


@case("start")
def start(bench: Bench) -> Result:
    """The median; a first process, which may have to compile the code, does not count."""
    found = [_seconds() for _ in range(TIMES + 1)][1:]
    seconds, cpu = (statistics.median(values) for values in zip(*found, strict=True))
    return Result([figure("start", seconds)], {"import + create_app": Sample(server_cpu=cpu * 1000)})


def _seconds() -> tuple[float, float]:
    """Return the seconds that passed and those of CPU."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=CHECKOUT, env=os.environ, stdout=subprocess.PIPE, text=True, check=True)
    seconds, cpu = map(float, done.stdout.split())
    return seconds, cpu
