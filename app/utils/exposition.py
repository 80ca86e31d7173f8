"""What `/metrics` shows: the figures of all workers of this instance, and those of the whole service."""

from collections.abc import Iterable, Mapping
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from app.utils.metric_files import added_up, workers
from app.utils.metrics import take_samples
from app.utils.tasks import sleep

CONTENT_TYPE = CONTENT_TYPE_LATEST


class _Families:
    """Metrics that are there already, for `generate_latest`."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._families


def exposition(of_service: Iterable[Metric]) -> bytes:
    """Return all metrics in Prometheus' text format."""
    take_samples()
    text = []
    for family in (*added_up(), *_processes(workers()), *of_service):
        text.append(generate_latest(_Families([family])))
        sleep(0)  # callers have their turn
    return b"".join(text)


def _processes(pids: Mapping[str, int | str]) -> Iterable[Metric]:
    """Return CPU, memory and descriptors of the processes, by worker; nothing of one that has just ended."""
    found: dict[str, Metric] = {}
    for worker, pid in pids.items():
        for family in ProcessCollector(pid=partial(str, pid), registry=None).collect():
            mine = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                mine.add_sample(sample.name, {**sample.labels, "worker": worker}, sample.value)
    return found.values()
