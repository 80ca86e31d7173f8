"""The rows of the fault matrix: what each does, by its number. One file a subject."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.trial import Trial
from tests.harness.stack import FaultBroker

SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: `seconds` is how long its faults last by default, `times` how often those strike that are counted.

    `quick` is (seconds, times) in the short run; `limit` the seconds after which the whole row has failed; `broker`
    makes what takes the place of one broker.
    """

    number: int
    title: str
    run: Callable[[Trial], None]
    seconds: float
    times: int
    quick: tuple[float, int]
    limit: float
    broker: Callable[[Path], Any] = FaultBroker


ROWS: dict[int, Fault] = {}


def row(
    number: int,
    title: str,
    *,
    seconds: float = SECONDS,
    times: int = 20,
    quick: tuple[float, int] = (10.0, 3),
    limit: float = 300.0,
    broker: Callable[[Path], Any] = FaultBroker,
) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Make the function a row of the matrix."""

    def add(run: Callable[[Trial], None]) -> Callable[[Trial], None]:
        if number in ROWS:
            raise ValueError(f"row {number} is there twice")
        ROWS[number] = Fault(number, title, run, seconds, times, quick, limit, broker)
        return run

    return add
