"""Rounds of what is there all at once: so much of it that a round takes about the seconds asked for."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from tests.benchmarks.bench import Bench, Served
from tests.benchmarks.measure import Meter, Sample, peak_memory

FIRST_COUNT = 200
GROWTH = 4


@dataclass
class Backlog(ABC):
    """Rounds of one service that works off a backlog. `rate` is that of the last round."""

    bench: Bench
    served: Served
    rate: float = field(default=0.0, init=False)

    def __call__(self, seconds: float) -> dict[str, Sample]:
        """Measure one round. The first one finds out how much a round takes: four times as much until it lasts."""
        if not self.rate:
            count, took = FIRST_COUNT, 0.0
            while took < seconds:
                took = self.work_off(count)
                self.rate = count / took
                count *= GROWTH
        count = max(int(self.rate * seconds), FIRST_COUNT)
        with Meter(self.served, self.bench.postgres) as meter:
            self.rate = count / self.work_off(count)
        sample = Sample(rate=self.rate, memory=peak_memory(self.served), **meter.for_each(count))
        return {self.served.name: sample}

    @abstractmethod
    def work_off(self, count: int) -> float:
        """Give the service so many, block until all is done, return the seconds it took. Raises Wrong."""
