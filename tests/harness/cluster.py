"""Three Apache Kafka brokers on 127.0.0.1, each node broker and controller: what one broker cannot show.

Any one of them may be killed or frozen while the other two go on. A frozen broker keeps its connections and answers
nothing, so whatever is asked here is asked of one that is neither killed nor frozen.
"""

import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError
from kafka.protocol.metadata import MetadataRequest, MetadataResponse

from tests.harness.stack import FaultBroker
from tests.harness.waiting import until
from tools.stack.ports import free_port

BROKERS = 3
ANSWER_SECONDS = 2.0
_METADATA_VERSION = 1
_REPLICATED = {
    "default.replication.factor": BROKERS,
    "min.insync.replicas": 2,
    "offsets.topic.replication.factor": BROKERS,
    "transaction.state.log.replication.factor": BROKERS,
    "transaction.state.log.min.isr": 2,
    "share.coordinator.state.topic.replication.factor": BROKERS,
    "share.coordinator.state.topic.min.isr": 2,
    "super.users": "User:ANONYMOUS",  # brokers vote before they know of any other right
}


@dataclass(frozen=True)
class PartitionState:
    """`leader` is a node id, None where the partition has none; `in_sync` the ids of its in-sync replicas."""

    leader: int | None
    replicas: Sequence[int]
    in_sync: Sequence[int]


class ClusterBroker(FaultBroker):
    """One node of the cluster. Killed or stopped and started again it has its data and its port again."""

    def __init__(
        self,
        folder: Path,
        node: int,
        voters: Mapping[int, int],
        config: Mapping[str, object],
        port: int | None = None,
    ) -> None:
        super().__init__(folder, port)
        self.node = node
        self.frozen = False
        self.voters = voters
        self.config = config

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True
        super().freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        self.frozen = False
        super().thaw()

    def launch(self) -> None:
        """Start it; see Server."""
        self.frozen = False
        super().launch()

    @property
    def answering(self) -> bool:
        """Whether it runs and is not frozen."""
        return self.running and not self.frozen

    def metadata(self, *topics: str) -> MetadataResponse:
        """Ask this very broker what it knows of the cluster. Raises OSError and ValueError."""
        wanted = [MetadataRequest.MetadataRequestTopic(version=_METADATA_VERSION, name=topic) for topic in topics]
        request = MetadataRequest(version=_METADATA_VERSION, topics=wanted)
        request.with_header()
        with socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(request.encode(header=True, framed=True))
            with connection.makefile("rb") as answer:
                length = int.from_bytes(answer.read(4))
                body = answer.read(length)
        if not length or len(body) != length:
            raise ValueError("the broker answered half of it")
        return MetadataResponse.decode(body, version=_METADATA_VERSION, header=True)

    def _settings(self) -> Mapping[str, object]:
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in self.voters.items())
        places = {
            "node.id": self.node,
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self.voters[self.node]}",
            "controller.quorum.voters": voters,
        }
        return {**super()._settings(), **_REPLICATED, **places, **self.config}

    def _answers(self) -> bool:
        """The others must know it too: a broker that was killed is not back before its old session has ended."""
        try:
            return any(broker.port == self.port for broker in self.metadata().brokers)
        except (OSError, ValueError):
            return False


class Cluster:
    """Three brokers. It stands where a single broker may stand: `bootstrap`, `create_topic`, `start`, `stop`, `kill`.

    `config`: settings of Kafka with `_` for `.`. A broker that is killed or frozen loses its leaderships once its
    session of 2 s has ended, unless `broker_session_timeout_ms` says otherwise (Kafka's own is 9 s); what is frozen for
    less than that, or than `replica_lag_time_max_ms`, stays in sync on paper.
    """

    def __init__(self, folder: Path, **config: object) -> None:
        ports = {node: free_port() for node in range(1, BROKERS + 1)}
        named = {key.replace("_", "."): value for key, value in config.items()}
        self.brokers = [ClusterBroker(folder / f"broker-{node}", node, ports, named) for node in ports]

    @property
    def bootstrap(self) -> str:
        """The addresses of all, as KAFKA_BOOTSTRAP_SERVERS takes them."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    @property
    def answering(self) -> ClusterBroker:
        """One that runs and is not frozen. Raises StopIteration where there is none."""
        return next(broker for broker in self.brokers if broker.answering)

    @property
    def running(self) -> bool:
        """Whether any of them runs."""
        return any(broker.running for broker in self.brokers)

    def start(self) -> None:
        """Start those that do not run, at once, and wait until each answers and all know each other."""
        missing = [broker for broker in self.brokers if not broker.running]
        with ThreadPoolExecutor(len(missing) or 1) as pool:
            list(pool.map(ClusterBroker.launch, missing))
        for broker in missing:
            broker.await_answer()
        until(
            lambda: all(len(it.metadata().brokers) == BROKERS for it in self.brokers if it.answering), "three brokers"
        )

    def stop(self) -> None:
        """Stop all, at once: two of three could not hand over to anybody."""
        with ThreadPoolExecutor(BROKERS) as pool:
            list(pool.map(ClusterBroker.stop, self.brokers))

    def kill(self) -> None:
        """SIGKILL to all."""
        for broker in self.brokers:
            broker.kill()

    def create_topic(self, name: str, partitions: int = 3, replication: int = BROKERS, **config: object) -> None:
        """Create a topic unless it exists; config keys with `_` for `.`. Blocks until all of it is in sync, 30 s.

        Replicated ones take what two replicas have, which is what acks=all then waits for.
        """
        configs = {key.replace("_", "."): str(value) for key, value in config.items()}
        configs.setdefault("min.insync.replicas", str(min(2, replication)))
        topic = {"num_partitions": partitions, "replication_factor": replication, "configs": configs}
        with KafkaAdminClient(bootstrap_servers=self.answering.bootstrap) as admin:
            try:
                admin.create_topics({name: topic}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                return
        self.await_in_sync(name, replication)

    def partitions(self, topic: str) -> dict[int, PartitionState]:
        """Return the state of each partition, as one that answers knows it; empty where it knows none."""
        found = self.answering.metadata(topic).topics[0].partitions
        return {
            it.partition_index: PartitionState(
                None if it.leader_id < 0 else it.leader_id, list(it.replica_nodes), list(it.isr_nodes)
            )
            for it in found
        }

    def broker(self, node: int) -> ClusterBroker:
        """Return the broker with this id."""
        return self.brokers[node - 1]

    def leader(self, topic: str, partition: int) -> ClusterBroker:
        """Return the partition's leader; waits for one, at most 30 s."""
        return self.broker(until(lambda: self.partitions(topic)[partition].leader, "a leader"))

    def followers(self, topic: str, partition: int) -> list[ClusterBroker]:
        """Return the brokers that have a copy of the partition and do not lead it."""
        leader = self.leader(topic, partition).node
        return [self.broker(node) for node in self.partitions(topic)[partition].replicas if node != leader]

    def await_in_sync(self, topic: str, count: int = BROKERS, seconds: float = 30.0) -> None:
        """Wait until each partition has a leader and so many in-sync replicas."""

        def ready() -> bool:
            states = self.partitions(topic).values()
            return bool(states) and all(it.leader is not None and len(it.in_sync) >= count for it in states)

        until(ready, f"{count} in-sync replicas", seconds)
