"""The time limits that depend on each other: in each group every limit leaves room for the next one.

`tests/unit/test_limits.py` asserts the order. A limit that no other one depends on stands beside the code that it
limits. This file imports nothing, because gunicorn's master loads it by its path.
"""

# A request. A duplicate gives up on its key first, then PostgreSQL on a statement, then the request on PostgreSQL.
ASKING_SECONDS = 0.3  # a request that waits for its key leaves so much time for its statement
POOL_SECONDS = 0.8  # if no connection is free within this time, answer 503 instead of queueing
KEY_SECONDS = 2.0  # a duplicate waits for the request that holds its key [H15]
LOCK_MS = 2_000  # a statement waits for a lock; a write under a key in one statement waits for STATEMENT_MS
STATEMENT_MS = 2_600  # PostgreSQL ends the statement
LEEWAY_MS = 100  # where less is left of a request, PostgreSQL ends the statement so much before the request gives up
REQUEST_SECONDS = 2.8  # all waiting of a request for PostgreSQL; a connection attempt may add its last second
CONTRACT_SECONDS = 4.0  # the longest that a caller waits for an answer [H1]
CALLER_SECONDS = 5.0  # the callers in the field give up

# A connection attempt at one address of PostgreSQL.
CONNECT_SECONDS = 2  # libpq takes no less

# The lease of a lane. A leader that was frozen must not send after PostgreSQL has given the lane to another one.
LEASE_RENEW_SECONDS = 1.0  # a leader at work proves this often that it lives
LEASE_SECONDS = 5.0  # a leader whose last proof is older sends nothing
IDLE_MS = 8_000  # PostgreSQL ends a session that holds something and is silent
LEASE_CALL_SECONDS = 10.0  # a statement of the leader

# A send to Kafka. The producer's own limits do not count everything, so the relay has one of its own.
PRODUCER_REQUEST_MS = 10_000
PRODUCER_DELIVERY_MS = 30_000
RELAY_FAILING_SECONDS = 40.0  # a thread counts as failing so long after a failure; longer than a relay's attempt
ACKNOWLEDGE_SECONDS = 60.0

# A batch of commands, which is one transaction.
WORKER_STATEMENT_MS = 10_000
BATCH_SECONDS = 15.0

# An alarm. The process that rang it renews it while it lasts.
ALARM_LOOK_SECONDS = 1.0  # between two looks at the alarms of others
ALARM_RENEW_SECONDS = 10.0
ALARM_LEASE_SECONDS = 60  # an alarm that nobody renewed is over

# The pulse: whether a broker answers. Every process shows within SHOWN_SECONDS that none does, and so do the others.
PULSE_SECONDS = 0.5  # between two questions
SILENT_MS = 1_000  # a question that waits for so long has a new client tried beside it
PULSE_ASK_MS = 2_000  # for the new client, and all brokers that are known
TELL_SECONDS = 0.9  # between two words of a process about itself; the alarms' thread, which tells, looks each second
SHOWN_SECONDS = 5.0  # by then a fault is shown

# The watch. One process looks, every process shows what that one saw. What two looks must find is shown in time.
WATCH_LOOK_SECONDS = 2.0
WATCH_LEASE_SECONDS = 20  # after the last look: then another process watches
WATCH_STALE_SECONDS = 30.0  # what was seen longer ago is shown as unknown

# The end of a worker. GRACEFUL_TIMEOUT is the setting for its requests.
RELAY_STOP_SECONDS = 3.0  # a relay waits for the acknowledgements of what it has sent
THREADS_STOP_SECONDS = 15.0

# The life of a worker.
WORKER_SILENT_SECONDS = 30  # gunicorn's master ends a worker that has not told it so long that it runs
