"""The service's own code in a simulated world: every seed is one story of crashes, freezes and lost answers.

Two or three instances run the real CommandConsumer, CommandService, BatchStore, Relay, PostgresLease and
OrderService against a simulated PostgreSQL, a simulated Kafka and a simulated clock. scheduler.py tells how they
interleave, faults.py what strikes them, checks.py what must hold at the end, ablations.py what can be taken out.

Nothing follows from it for what the world does not do: topics that are cut, made anew or grow, partitions without a
leader or with another one, a database restored to an older state, Idempotency-Keys, the lane of dead letters, a command
that cannot be handled, a stop by SIGTERM. And no freeze comes between the check of the lease and the wire, no request
lands later than a new leader lets it settle: those two can force a twin by design, so real processes have to count
them.
"""
