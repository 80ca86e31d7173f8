"""Rows 10, 18, 20, 21: the network to a server is slow, swallows, or cuts answers short; PostgreSQL is away."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.faults.resources import memory_of
from tests.faults.rows import row
from tests.faults.rows.broker import AWAY_MIB, DRAINED_SECONDS
from tests.faults.rows.database import answered_in_time, only_503
from tests.faults.trial import Trial
from tests.harness.found import await_quiet
from tests.harness.proxy import GOOD, Network, Proxy
from tests.harness.stack import FaultBroker
from tools.stack.broker import Broker
from tools.stack.ports import free_port

SLOW = Network(delay=2.0)
THROTTLED = Network(bytes_per_second=32 * 1024)
BLACK_HOLE = Network(black_hole=True)
QUIET_SECONDS = 15.0
ATTEMPTS_A_SECOND = 2.0
LEAST_CUT = 10
PRODUCE = b"\0\0"  # the key of its request, which follows four bytes of length
HTTP_WRITES = (b"EXECUTE insert_", b"EXECUTE update_")
COMMIT = b"COMMIT\0"


class Proxied(Broker):
    """A broker with a second listener, which it advertises at another port: that of a proxy in front of it."""

    proxy: Proxy

    def _prepare(self) -> list[str]:
        command = super()._prepare()
        added = {
            "listeners": f"PROXIED://127.0.0.1:{self.proxy.target}",
            "advertised.listeners": f"PROXIED://127.0.0.1:{self.proxy.port}",
            "listener.security.protocol.map": "PROXIED:PLAINTEXT",
        }
        path = Path(command[-1])
        pairs = [line.partition("=") for line in path.read_text().splitlines()]
        lines = [f"{name}={value},{added[name]}" if name in added else f"{name}={value}" for name, _, value in pairs]
        path.write_text("\n".join([*lines, "inter.broker.listener.name=PLAINTEXT", ""]))
        return command


class ProxiedBroker(Proxied, FaultBroker):
    """One broker and the proxy in front of it."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        self.proxy = Proxy(free_port())


@contextmanager
def kafka_behind_proxy(trial: Trial) -> Iterator[Proxy]:
    """The broker comes back with a listener behind a proxy, for instances that are started with its address."""
    stack = trial.stack
    stack.broker.stop()
    broker = ProxiedBroker(stack.broker.folder, stack.broker.port)
    broker.start()
    stack.broker = broker
    with broker.proxy:
        yield broker.proxy


@contextmanager
def postgres_behind_proxies(trial: Trial, **extra: str) -> Iterator[list[Proxy]]:
    """Two instances, each with a proxy to PostgreSQL of its own, so that the attempts of each can be counted."""
    stack = trial.stack
    with ExitStack() as proxies:
        made = [proxies.enter_context(Proxy(stack.postgres.port)) for _ in range(2)]
        for proxy in made:
            url = stack.database_url.replace(f":{stack.postgres.port}/", f":{proxy.port}/")
            stack.instance(DATABASE_URL=url, **extra).start()
        yield made


@row(10, "broker slow (2 s), throttled, connection cut within a response", quick=(15.0, 3))
def bad_network_to_kafka(trial: Trial) -> None:
    """A third of the time each; the answers that are cut acknowledge records that the broker has appended."""
    with kafka_behind_proxy(trial) as proxy:
        trial.stack.start(2, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{proxy.port}", KAFKA_SESSION_TIMEOUT_MS="10000")
        with trial.under_load():
            since = time.monotonic()
            for name, network in {"slow": SLOW, "throttled": THROTTLED}.items():
                sent = relayed(trial)
                proxy.network = network
                trial.pause(trial.seconds / 3)
                trial.own(f"{relayed(trial) - sent:.0f} records sent while {name}")
            proxy.network = GOOD
            cut_acknowledgements(trial, proxy)
        trial.no_failures(since)
        trial.own(f"{proxy.cuts} acknowledgements cut")
        trial.row.require_struck(proxy.cuts >= LEAST_CUT * trial.seconds / 30, "hardly an acknowledgement was cut")
        trial.settle(DRAINED_SECONDS, twins=True)


def cut_acknowledgements(trial: Trial, proxy: Proxy) -> None:
    """Cut one after the other for a third of the time."""
    give_up = time.monotonic() + trial.seconds / 3
    while time.monotonic() < give_up:
        proxy.cut_answer(lambda data: data[4:6] == PRODUCE)
        trial.pause(0.3)
    trial.strike(proxy.cuts)


def relayed(trial: Trial) -> float:
    """Return how many records the instances have sent."""
    return sum(instance.metric("order_relay_sent_total") for instance in trial.instances)


@row(18, "PostgreSQL away", seconds=60.0)
def database_away(trial: Trial) -> None:
    """Stopped, behind proxies that count who wants to connect."""
    with postgres_behind_proxies(trial) as proxies:
        with trial.under_load():
            since = time.monotonic()
            alive_but_not_ready(trial, proxies, lambda: trial.stack.postgres.stop("immediate"))
            trial.stack.postgres.start()
        quiet_soon(trial, QUIET_SECONDS)
        answered_in_time(trial, since)
        only_503(trial, since)
        trial.settle(QUIET_SECONDS)


@row(20, "network black hole to PostgreSQL, then to Kafka", limit=400)
def black_holes(trial: Trial) -> None:
    """What was under way arrives when the black hole ends."""
    with kafka_behind_proxy(trial) as kafka:
        servers = f"127.0.0.1:{kafka.port}"
        with postgres_behind_proxies(trial, KAFKA_BOOTSTRAP_SERVERS=servers) as proxies:
            no_way_to_postgres(trial, proxies)
            no_way_to_kafka(trial, kafka)
            trial.settle(DRAINED_SECONDS, twins=True)


def no_way_to_postgres(trial: Trial, proxies: Sequence[Proxy]) -> None:
    """As row 18; in addition nobody is told that the connections are dead."""
    with trial.under_load():
        since = time.monotonic()
        alive_but_not_ready(trial, proxies, lambda: set_networks(proxies, BLACK_HOLE))
        set_networks(proxies, GOOD)
    quiet_soon(trial, QUIET_SECONDS)
    answered_in_time(trial, since)
    only_503(trial, since)


def no_way_to_kafka(trial: Trial, kafka: Proxy) -> None:
    """As row 9."""
    with trial.load.running(trial.stack, trial.seed + 2):
        since = time.monotonic()
        before = largest(trial)
        kafka.network = BLACK_HOLE
        trial.strike()
        trial.pause(trial.seconds)
        grown = largest(trial) - before
        kafka.network = GOOD
    trial.own(f"memory {grown:+.0f} MiB without Kafka", grown <= AWAY_MIB)
    quiet_soon(trial, DRAINED_SECONDS)
    trial.no_failures(since)


def largest(trial: Trial) -> float:
    """Return the memory of the largest instance in MiB, without filling its pools: callers would be kept waiting."""
    return max(memory_of(instance) for instance in trial.instances)


@row(21, "COMMIT sent, answer cut")
def answer_cut(trial: Trial) -> None:
    """Of the writes of HTTP and of the transactions of consumer and relay in turn."""
    with postgres_behind_proxies(trial) as proxies:
        with trial.under_load():
            since = time.monotonic()
            while trial.lasts():
                for proxy in proxies:
                    proxy.cut_answer(lambda data: any(it in data for it in HTTP_WRITES))
                trial.pause(0.15)
                for proxy in proxies:
                    proxy.cut_answer(lambda data: COMMIT in data)
                trial.pause(0.15)
        cuts = sum(proxy.cuts for proxy in proxies)
        trial.strike(cuts)
        only_503(trial, since)
        trial.settle()
        trial.own(f"{cuts} answers cut, {trial.row.counts['I1']} answers that were not true")
        trial.row.require_struck(cuts >= LEAST_CUT, "hardly an answer was cut")


def set_networks(proxies: Sequence[Proxy], network: Network) -> None:
    """Let it be the network of all."""
    for proxy in proxies:
        proxy.network = network


def alive_but_not_ready(trial: Trial, proxies: Sequence[Proxy], take_away: Callable[[], None]) -> None:
    """Take PostgreSQL away, ask each instance while the row lasts, and count its attempts to connect from the start."""
    before = [proxy.attempts for proxy in proxies]
    since = time.monotonic()
    take_away()
    trial.strike()
    trial.await_writes(10, 503)
    seen = set()
    while trial.lasts():
        seen |= {(path, instance.get(path)[0]) for instance in trial.instances for path in ("/livez", "/readyz")}
        trial.pause(0.5)
    seconds = time.monotonic() - since
    rate = max(proxy.attempts - count for proxy, count in zip(proxies, before, strict=True)) / seconds
    trial.own(f"meanwhile {sorted(seen)}", seen == {("/livez", 200), ("/readyz", 503)})
    trial.own(f"at most {rate:.1f} connection attempts a second and process", rate <= ATTEMPTS_A_SECOND)


def quiet_soon(trial: Trial, seconds: float) -> None:
    """Require quiet within so many seconds of now, which is when the fault was healed and the load ended."""
    try:
        took = await_quiet(trial.stack, seconds)
    except TimeoutError:
        took = math.inf
    trial.own(f"quiet after {took:.1f} s", took <= seconds)
