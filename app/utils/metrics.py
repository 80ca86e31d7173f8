"""What the service counts and measures; `/metrics` shows it, and docs/metrics.md describes each.

Counters, histograms and gauges are of this process: exposition.py adds those of the other workers. A `ServiceGauge` is
of the whole service, and the same at every process.
"""

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily

from app.utils import metric_files  # noqa: F401 - before the first metric: it says where values are
from app.utils.limits import ACKNOWLEDGE_SECONDS, CALLER_SECONDS, CONTRACT_SECONDS, POOL_SECONDS, REQUEST_SECONDS

disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotation; when a series began: twice the series, and nobody asks
for _collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):  # exposition.py shows each worker's process
    REGISTRY.unregister(_collector)

Shown = GaugeMetricFamily
Labels = tuple[str, ...]
SERVICE_GAUGES: "list[ServiceGauge]" = []
_samples: dict[Gauge, Callable[[], float]] = {}


class ServiceGauge:
    """A figure of the whole service. It has no value of its own: each scrape shows what was last seen."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.labels = labels
        self._documentation = documentation
        SERVICE_GAUGES.append(self)

    def shown(self, values: Mapping[Labels, float] | float) -> Shown:
        """Return the metric as a scrape shows it: one value, or one for each tuple of labels."""
        family = Shown(self.name, self._documentation, labels=self.labels)
        for labels, value in (values if isinstance(values, Mapping) else {(): values}).items():
            family.add_metric(labels, value)
        return family


class Times(Histogram):
    """A histogram that counts many at once."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """As `observe` for each of them; it takes a fifth of the time."""
        self._sum.inc(sum(amounts))
        for bucket, times in Counts(bisect_left(self._upper_bounds, amount) for amount in amounts).items():
            self._buckets[bucket].inc(times)


def sample(gauge: Gauge, measure: Callable[[], float]) -> None:
    """Let the gauge show what `measure` returns, as of the last `take_samples`."""
    _samples[gauge] = measure


def take_samples() -> None:
    """Set the gauges of this process. Takes some microseconds."""
    for gauge, measure in _samples.items():
        gauge.set(measure())


def _of_process(name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
    """Return a gauge of which `/metrics` shows the sum over the workers that live."""
    return Gauge(name, documentation, labels, multiprocess_mode="livesum")


# HTTP
REQUESTS = Counter("order_http_requests_total", "HTTP requests answered", ["route", "method", "status"])
REQUEST_TIME = Histogram(
    "order_http_request_seconds",
    "Seconds from reading a request to its answer",
    ["route", "method"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, REQUEST_SECONDS, CONTRACT_SECONDS, CALLER_SECONDS),
)
SHED = Counter("order_http_shed_total", "HTTP requests turned away because the service was overloaded", ["class"])
ANSWER_BYTES = _of_process(
    "order_answer_bytes", "Bytes that answers in the making, or not taken by their clients, hold"
)
ANSWERS_CUT = Counter("order_answers_cut_total", "Large answers that ended before their clients had them", ["reason"])
CONNECTIONS = _of_process("order_http_connections", "Connections of HTTP clients that are open")
IN_WORK = _of_process("order_http_requests_in_work", "HTTP requests that are being answered")
UNFINISHED_BYTES = _of_process("order_http_unfinished_bytes", "Bytes that requests hold which have not arrived whole")
LOOP_LATE = Histogram(
    "order_loop_late_seconds",
    "Seconds that the event loop ran a timer too late, four looks a second: whatever it does holds up every caller",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, CONTRACT_SECONDS),
)

# Orders
CHANGES = Counter("order_changes_total", "Changes of orders that were committed", ["move", "door"])
REFUSALS = Counter("order_refusals_total", "Requests and commands that were refused", ["code", "door"])
REPEATS = Counter("order_repeats_total", "Requests and commands that were done before, and not done again", ["door"])
REFUSALS_UNTOLD = Counter(
    "order_refusals_untold_total", "Requests whose refusal the table of refusals does not have: there were too many"
)
LOST_RACES = Counter("order_lost_races_total", "Compare-and-swaps that another writer won; each was decided again")

# PostgreSQL
GROUP_SIZE = Histogram(
    "order_group_size", "Calls that one statement answered together", ["kind"], buckets=(1, 2, 4, 8, 16, 32, 64)
)
CONNECTION_WAIT = Histogram(
    "order_database_wait_seconds",
    "Seconds that a call waited for a database connection; calls that found an idle one are not counted",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.25, 0.5, POOL_SECONDS, REQUEST_SECONDS, CONTRACT_SECONDS),
)
DATABASE_CONNECTIONS = _of_process("order_database_connections", "Connections that requests share", ["state"])
DATABASE_CONNECTIONS_LIMIT = _of_process(
    "order_database_connections_limit", "The most connections that requests share: DATABASE_POOL of each worker"
)
PRUNED = Counter("order_pruned_rows_total", "Rows deleted because their time was over", ["table"])
SNAPSHOT_AGE = ServiceGauge(
    "order_snapshot_age_seconds", "Seconds that the oldest snapshot of the database has been held; 0 where none is"
)

# Commands
COMMANDS = Counter("order_commands_total", "Kafka commands by type and outcome", ["type", "outcome"])
DEAD_LETTERS = Counter("order_dead_letters_total", "Commands that could not be read")
LAG = ServiceGauge("order_commands_lag", "Commands in the log that are not handled yet", ["partition"])
LAG_SECONDS = ServiceGauge(
    "order_commands_lag_seconds", "Seconds since the time stamp of the oldest command that waits", ["partition"]
)

# Events
OUTBOX_DEPTH = ServiceGauge("order_outbox_depth", "Events committed and not yet acknowledged by Kafka")
OUTBOX_AGE = ServiceGauge("order_outbox_oldest_seconds", "Age of the oldest event in the outbox")
DEAD_LETTERS_UNSENT = ServiceGauge("order_dead_letters_unsent", "Dead letters not yet acknowledged by Kafka")
DEAD_LETTERS_AGE = ServiceGauge("order_dead_letters_oldest_seconds", "Age of the oldest dead letter that is not sent")
ANNOUNCE_TIME = Times(
    "order_announce_seconds",
    "Seconds from the insert of a row to its acknowledgement by Kafka",
    ["lane"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10, 30, ACKNOWLEDGE_SECONDS, 600, 3600),
)
RELAYED = Counter("order_relay_sent_total", "Records acknowledged by Kafka", ["lane"])
RELAY_FAILURES = Counter("order_relay_failures_total", "Sends given up, each followed by a read-back", ["lane"])
READ_BACKS = Counter("order_relay_read_backs_total", "Times a relay read the log back before sending", ["lane"])
READ_BACK_REMOVED = Counter(
    "order_relay_read_back_removed_total", "Records found in the log already and so not sent again", ["lane"]
)
LEADER = _of_process("order_relay_leader", "1 while a worker of this instance relays", ["lane"])

# The service
BUILD = ServiceGauge("order_build_info", "Version and commit of the code that runs; always 1", ["version", "commit"])
INSTANCES = ServiceGauge("order_instances", "Processes of the service, by what they said of themselves", ["state"])
CHECK_FINDINGS = ServiceGauge("order_check_findings", "What the last consistency check found; 0 when nothing was wrong")
CHECK_AGE = ServiceGauge("order_check_age_seconds", "Seconds since the last consistency check ended")
ALARMS = ServiceGauge("order_alarms", "Open alarms of the service, by kind: what their names begin with", ["alarm"])
