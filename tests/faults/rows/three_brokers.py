"""Row 36, and rows of one broker once more, on three of which each has a copy of everything (numbers from 102 on).

What a follower does not have yet, no consumer sees; what a leader had that was killed may come to light later.
"""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import cast

from tests.faults.rows import row
from tests.faults.rows.broker import DRAINED_SECONDS
from tests.faults.rows.network import PRODUCE, SLOW, THROTTLED, Proxied
from tests.faults.rows.processes import by_lead, fail_points, kill_all, kill_one, own_read_backs
from tests.faults.trial import Trial
from tests.harness.cluster import Cluster, ClusterBroker
from tests.harness.proxy import GOOD, Proxy
from tools.stack.ports import free_port

PARTITIONS = 3
SESSION_MS = 9000  # Kafka's own: for so long a broker that stands still is in sync on paper
HANGS_SECONDS = 45.0
IN_DOUBT_SECONDS = 1.5
READ_BACK_SECONDS = 5.0  # until the next relay has read back, or would have sent again
ELECTION_SECONDS = 2.0
IN_SYNC_SECONDS = 60.0
QUIET_SECONDS = 60.0

three = partial(Cluster, broker_session_timeout_ms=SESSION_MS)

row(102, "as row 2, on three brokers", quick=(20.0, 3), broker=three)(kill_one)
row(103, "as row 3, on three brokers", broker=three)(kill_all)
row(104, "as row 4, on three brokers", limit=900, broker=three)(fail_points)


def cluster_of(trial: Trial) -> Cluster:
    """Return the three brokers."""
    return cast(Cluster, trial.stack.broker)


def some_leader(trial: Trial) -> tuple[ClusterBroker, ClusterBroker]:
    """Return the leader of some partition of the events, and one of its followers."""
    cluster, topic = cluster_of(trial), trial.stack.events_topic
    partition = trial.rng.randrange(PARTITIONS)
    return cluster.leader(topic, partition), random.Random(trial.seed).choice(cluster.followers(topic, partition))


def heal(trial: Trial) -> None:
    """Bring every broker back, and every replica in sync."""
    cluster = cluster_of(trial)
    for broker in cluster.brokers:
        broker.thaw()
    cluster.start()
    for topic in (trial.stack.events_topic, trial.stack.commands_topic):
        cluster.await_in_sync(topic, seconds=IN_SYNC_SECONDS)


@row(
    36,
    "three brokers: a follower stands still, the leading relay is killed, then the partition's leader",
    seconds=60.0,
    limit=600.0,
    quick=(15.0, 1),
    broker=three,
)
def follower_stands_still(trial: Trial) -> None:
    """The relay dies with records in doubt: its leader has them, and no consumer can see them."""
    with trial.under_load():
        while trial.lasts():
            leader, follower = some_leader(trial)
            relay, _ = by_lead(trial.instances)
            follower.freeze()
            trial.pause(IN_DOUBT_SECONDS)
            relay.kill()
            trial.strike()
            trial.pause(READ_BACK_SECONDS)
            leader.kill()
            follower.thaw()
            trial.pause(ELECTION_SECONDS)
            relay.start()
            heal(trial)
            trial.await_writes(20)
    trial.settle(QUIET_SECONDS)
    own_read_backs(trial)


@row(
    109,
    "three brokers: a follower stands still for 45 s, in sync on paper, longer than a send may take",
    seconds=50.0,
    limit=600.0,
    quick=(50.0, 1),
    broker=partial(Cluster, broker_session_timeout_ms=120_000, replica_lag_time_max_ms=120_000),
)
def follower_hangs(trial: Trial) -> None:
    """What is sent is not acknowledged for as long, and given up after 30 s."""
    with trial.under_load():
        _, follower = some_leader(trial)
        follower.freeze()
        trial.strike()
        trial.pause(HANGS_SECONDS)
        heal(trial)
        trial.await_writes(20)
    trial.settle(QUIET_SECONDS)
    own_read_backs(trial)


@row(108, "as row 8, on three brokers: the leader of a partition", limit=600.0, broker=three)
def killed(trial: Trial) -> None:
    """kill -9, and a start as soon as HTTP is seen to go on without it."""
    with trial.under_load():
        while trial.lasts():
            trial.pause(1.0, 3.0)
            leader, _ = some_leader(trial)
            leader.kill()
            trial.strike()
            trial.await_writes(100)
            heal(trial)
    trial.settle(QUIET_SECONDS)
    own_read_backs(trial)


class ProxiedClusterBroker(Proxied, ClusterBroker):
    """The node of a cluster that takes the place of another one, with a proxy in front of it."""

    def __init__(self, other: ClusterBroker) -> None:
        super().__init__(other.folder, other.node, other.voters, other.config, other.port)
        self.proxy = Proxy(free_port())


@contextmanager
def behind_proxies(trial: Trial) -> Iterator[list[Proxy]]:
    """The brokers come back with a listener behind a proxy each, for instances that are started with those."""
    cluster = cluster_of(trial)
    cluster.stop()
    proxied = [ProxiedClusterBroker(broker) for broker in cluster.brokers]
    cluster.brokers = list(proxied)
    cluster.start()
    with ExitStack() as proxies:
        yield [proxies.enter_context(broker.proxy) for broker in proxied]


@row(110, "as row 10, on three brokers", quick=(15.0, 3), limit=600.0, broker=three)
def bad_network(trial: Trial) -> None:
    """A third of the time each; then answers are cut that acknowledge records of which all replicas have a copy."""
    with behind_proxies(trial) as proxies:
        addresses = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
        trial.stack.start(2, KAFKA_BOOTSTRAP_SERVERS=addresses, KAFKA_SESSION_TIMEOUT_MS="10000")
        with trial.under_load():
            since = time.monotonic()
            for network in (SLOW, THROTTLED):
                for proxy in proxies:
                    proxy.network = network
                trial.pause(trial.seconds / 3)
            for proxy in proxies:
                proxy.network = GOOD
            give_up = time.monotonic() + trial.seconds / 3
            while time.monotonic() < give_up:
                trial.rng.choice(proxies).cut_answer(lambda data: data[4:6] == PRODUCE)
                trial.pause(0.3)
            trial.strike(sum(proxy.cuts for proxy in proxies))
        trial.no_failures(since)
        trial.settle(DRAINED_SECONDS, twins=True)
