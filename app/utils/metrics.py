"""What the service counts and measures; `/metrics` shows it. Counters are per process, as Prometheus expects."""

from prometheus_client import Counter, Gauge, Histogram, Info

BUILD = Info("order_build", "Version and commit of the code that runs; always 1")
REQUESTS = Counter("order_http_requests_total", "HTTP requests answered", ["endpoint", "status"])
REQUEST_SECONDS = Histogram(
    "order_http_request_seconds",
    "Seconds from reading a request to its answer",
    ["endpoint"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.8, 4),  # the last two: limits.py
)
CHANGES = Counter("order_changes_total", "Changes of orders that were committed, by move", ["move", "door"])
REFUSALS = Counter("order_refusals_total", "Requests and commands that were refused, by code", ["code", "door"])
REPEATS = Counter("order_http_repeats_total", "Requests that got the answer stored under their Idempotency-Key")
ANSWER_BYTES = Gauge("order_answer_bytes", "Bytes that answers in the making, or not taken by their clients, hold")
ANSWERS_CUT = Counter("order_answers_cut_total", "Large answers that ended before their clients had them", ["reason"])
LOOP_LATE = Histogram(
    "order_loop_late_seconds",
    "Seconds that the event loop ran a timer too late, four looks a second: whatever it does holds up every caller",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 4),
)
CONNECTIONS = Gauge("order_http_connections", "Connections of HTTP clients that are open")
IN_WORK = Gauge("order_http_requests_in_work", "HTTP requests that are being answered")
UNFINISHED_BYTES = Gauge("order_http_unfinished_bytes", "Bytes that requests hold which have not arrived whole")
GROUP_SIZE = Histogram(
    "order_group_size", "Calls that one statement answered together", ["kind"], buckets=(1, 2, 4, 8, 16, 32, 64)
)
CONNECTION_WAIT = Histogram(
    "order_database_wait_seconds",
    "Seconds that a call waited for a database connection; calls that found an idle one are not counted",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4),
)
SHED = Counter("order_http_shed_total", "HTTP requests turned away because the service was overloaded", ["class"])
LOST_RACES = Counter("order_lost_races_total", "Compare-and-swaps that another writer won; each was decided again")
COMMANDS = Counter("order_commands_total", "Kafka commands by type and outcome", ["type", "outcome"])
LAG = Gauge("order_commands_lag", "Commands in the log that are not handled yet", ["partition"])
COMMANDS_AGE = Gauge("order_commands_oldest_seconds", "For how long a command has been seen to wait", ["partition"])
OUTBOX_DEPTH = Gauge("order_outbox_depth", "Events committed and not yet acknowledged by Kafka")
OUTBOX_AGE = Gauge("order_outbox_oldest_seconds", "Age of the oldest event in the outbox")
DEAD_LETTERS_UNSENT = Gauge("order_dead_letters_unsent", "Dead letters not yet acknowledged by Kafka")
DEAD_LETTERS_AGE = Gauge("order_dead_letters_oldest_seconds", "Age of the oldest dead letter that is not sent")
RELAYED = Counter("order_relay_sent_total", "Records acknowledged by Kafka", ["lane"])
RELAY_FAILURES = Counter("order_relay_failures_total", "Sends given up, each followed by a read-back", ["lane"])
READ_BACKS = Counter("order_relay_read_backs_total", "Times a relay read the log back before sending", ["lane"])
READ_BACK_REMOVED = Counter(
    "order_relay_read_back_removed_total", "Records found in the log already and so not sent again", ["lane"]
)
LEADER = Gauge("order_relay_leader", "1 while this process relays", ["lane"])
DEAD_LETTERS = Counter("order_dead_letters_total", "Commands that could not be read")
PRUNED = Counter("order_pruned_rows_total", "Rows deleted because their time was over", ["table"])
CHECK_FINDINGS = Gauge("order_check_findings", "What the last consistency check found; 0 when nothing was wrong")
CHECK_AGE = Gauge("order_check_age_seconds", "Seconds since the last consistency check ended")
ALARMS = Gauge("order_alarms", "Open alarms of the service, by kind: what their names begin with", ["alarm"])
