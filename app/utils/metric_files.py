"""Where counters are: in the memory of the process, or in files that all workers of an instance read.

A worker takes a slot, the lowest number that no living worker has, and keeps what it counts in the files of the slot.
So any worker can show the sums, the number of files is bounded by the workers at a time, and a worker goes on where the
one before it in the slot ended, however that ended. Gauges begin anew, and count while their worker lives: the lock of
the slot says so. The files have the format of prometheus-client's multiprocess mode; decision 32 says what differs.
"""

import fcntl
import logging
import os
import threading
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from json import loads
from pathlib import Path
from typing import Any, ClassVar

from prometheus_client import REGISTRY, values
from prometheus_client.core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.utils import floatToGoString

from app.utils.tasks import sleep

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels, float | None]
"""The name of a sample, its labels, and of a bucket its bound."""
Sums = dict[Series, float]

Cells = Any  # a memoryview of doubles

MOST_SLOTS = 1024
MOST_AROUND = 64  # bytes around a key in a file
GAUGES = "gauge_livesum"
BYTES = {"counter": 1 << 16, "histogram": 1 << 16, GAUGES: 1 << 13}  # what is taken at first; a file doubles when full

log = logging.getLogger(__name__)


class _File(MmapedDict):
    """The values of one kind of one slot, by key.

    Pages are had before they are written to: where none is free, the system ends the process that writes.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Make the file if it is not there. Raises OSError."""
        with path.open("ab") as made:
            os.posix_fallocate(made.fileno(), 0, size)
        super().__init__(str(path))  # type: ignore[no-untyped-call]  # it has no types

    def cell(self, key: str) -> tuple[Cells, int]:
        """Return an array of doubles, and the place of the key's value in it. The array stays when the file grows.

        Raises OSError.
        """
        if self._used + len(key.encode()) + MOST_AROUND > self._capacity:
            os.posix_fallocate(self._f.fileno(), 0, 2 * self._capacity)
        self.read_value(key)  # type: ignore[no-untyped-call]  # it has no types
        return memoryview(self._m).cast("d"), self._positions[key] // 8


class Slot:
    """The files of this process, and of the others in the folder."""

    def __init__(self, folder: Path) -> None:
        """Take the lowest slot that no living worker has; the process has it until it ends. Raises OSError."""
        self._folder = folder
        for number in range(MOST_SLOTS):
            self._lock = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                continue
            break
        else:
            raise OSError("no slot is free")
        (folder / f"{GAUGES}_{number}.db").unlink(missing_ok=True)
        os.pwrite(self._lock, b"%-20d" % os.getpid(), 0)
        self._files = {kind: _File(folder / f"{kind}_{number}.db", size) for kind, size in BYTES.items()}

    def cell(self, kind: str, key: str) -> tuple[Cells, int]:
        """Return where the value of the key is. Where there is no room for it, no scrape will show it."""
        try:
            return self._files[GAUGES if kind == "gauge" else kind].cell(key)
        except OSError as error:
            log.error("no room for a metric in %s: %s", self._folder, error)
            return _in_memory()

    def workers(self) -> dict[str, int]:
        """Return the process ids of the living workers by slot."""
        found = {}
        for path in sorted(self._folder.glob("*.lock")):
            with path.open("rb") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found[path.stem] = int(lock.read() or 0)
        return found

    def files(self) -> Iterator[Path]:
        """Yield the files that count: those of gauges only while their worker lives."""
        workers = self.workers()
        for path in sorted(self._folder.glob("*.db")):
            kind, _, slot = path.stem.rpartition("_")
            if kind != GAUGES or slot in workers:
                yield path


def _in_memory() -> tuple[Cells, int]:
    return memoryview(array("d", [0.0])), 0


class Value:
    """A number that prometheus-client counts in."""

    __slots__ = ("_at", "_cells", "_identity", "_lock")
    _multiprocess = False
    slot: ClassVar[Slot | None] = None
    _all: ClassVar[list["Value"]] = []
    _making = threading.Lock()

    def __init__(
        self,
        kind: str,
        metric: str,
        name: str,
        label_names: Sequence[str],
        labels: Sequence[str],
        documentation: str,
        **_: Any,
    ) -> None:
        self._identity = kind, mmap_key(metric, name, list(label_names), list(labels), documentation)
        self._lock = threading.Lock()
        with self._making:
            self._all.append(self)
            self._cells, self._at = _in_memory() if self.slot is None else self.slot.cell(*self._identity)

    @classmethod
    def move_into(cls, slot: Slot) -> None:
        """Go on in the files of the slot. What was counted before is added to what is there."""
        with cls._making:
            for value in cls._all:
                cells, at = slot.cell(*value._identity)
                with value._lock:
                    cells[at] += value._cells[value._at]
                    value._cells, value._at = cells, at
            cls.slot = slot

    def inc(self, amount: float) -> None:
        """Add."""
        with self._lock:
            self._cells[self._at] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Set."""
        with self._lock:
            self._cells[self._at] = value

    def get(self) -> float:
        """Return the number."""
        value: float = self._cells[self._at]
        return value

    def set_exemplar(self, exemplar: Any) -> None:
        """There are none."""

    def get_exemplar(self) -> None:
        """There are none."""


values.ValueClass = Value


def keep_in(folder: Path) -> None:
    """Keep what this process counts in the folder from now on. Raises OSError, and then keeps it in memory."""
    Value.move_into(Slot(folder))


def workers() -> Mapping[str, int | str]:
    """Return the process ids of the living workers of this instance by slot."""
    return {"0": "self"} if Value.slot is None else Value.slot.workers()


def added_up() -> Iterable[Metric]:
    """Return what the workers of this instance have counted together."""
    if Value.slot is None:
        return REGISTRY.collect()
    sums: dict[str, tuple[Metric, Sums]] = {}
    for path in Value.slot.files():
        kind = path.name.partition("_")[0]
        for key, value, _, _ in _read(path):
            name, documentation, series = _parsed(key)
            if name not in sums:
                sums[name] = Metric(name, documentation, kind), defaultdict(float)
            sums[name][1][series] += value
        sleep(0)  # callers have their turn
    for metric, found in sums.values():
        for name, labels, value in _cumulated(found) if metric.type == "histogram" else _plain(found):
            metric.add_sample(name, dict(labels), value)
    return [metric for metric, _ in sums.values()]


def _read(path: Path) -> Iterable[tuple[str, float, float, int]]:
    return MmapedDict.read_all_values_from_file(path)  # type: ignore[no-any-return,no-untyped-call]  # it has no types


@lru_cache(maxsize=65_536)
def _parsed(key: str) -> tuple[str, str, Series]:
    """Return the name of the metric, what it is, and the series of a key."""
    metric, name, labels, documentation = loads(key)
    bound = labels.pop("le", None)
    return metric, documentation, (name, tuple(sorted(labels.items())), None if bound is None else float(bound))


def _text(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]  # it has no types


def _plain(sums: Sums) -> Iterator[tuple[str, Labels, float]]:
    return ((name, labels, value) for (name, labels, _), value in sums.items())


def _cumulated(sums: Sums) -> Iterator[tuple[str, Labels, float]]:
    """Yield the sums, the buckets with all smaller ones in each, and the counts."""
    buckets: dict[tuple[str, Labels], list[tuple[float, float]]] = defaultdict(list)
    for (name, labels, bound), value in sums.items():
        if bound is None:
            yield name, labels, value
        else:
            buckets[name, labels].append((bound, value))
    for (name, labels), found in buckets.items():
        total = 0.0
        for bound, value in sorted(found):
            total += value
            yield name, (*labels, ("le", _text(bound))), total
        yield f"{name.removesuffix('_bucket')}_count", labels, total
