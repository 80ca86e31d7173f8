"""How kafka-python's clients connect, and questions to a broker that no public method of them asks."""

import socket as sockets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.protocol.metadata import MetadataRequest

from app.kafka.quirks import tls

Client = TypeVar("Client")


class _ClosingSocket(KafkaNetSocket):
    """Connections whose socket is closed when they fail.

    kafka-python leaves that to the garbage collector, which can take minutes, and by then a broker that is away has
    cost hundreds of descriptors. Fails without it: test_an_attempt_without_a_broker_leaves_no_thread_and_no_descriptor.
    """

    SCHEMES = ("direct",)
    _made: sockets.socket | None = None

    def socket(self, *address: Any) -> sockets.socket:
        """Remember the socket that is made."""
        self._made = super().socket(*address)
        return self._made

    async def connect(self, *arguments: Any, **options: Any) -> sockets.socket:
        """Return the connected socket. Raises as the library does."""
        connected = False
        try:
            made: sockets.socket = await super().connect(*arguments, **options)
            connected = True
            return made
        finally:
            if self._made is not None and not connected:
                self._made.close()


def open_client(make: Callable[..., Client], *topics: str, **options: Any) -> Client:
    """Build a client that closes its sockets and makes no topic by asking for one.

    Where a constructor of kafka-python raises, it leaves a thread and three descriptors behind with each attempt that
    found no broker; here they are closed. Fail without it: the test above, and
    test_no_client_makes_a_topic_by_asking_for_it.
    """
    with ExitStack() as opened:

        def connect(**config: Any) -> KafkaNetClient:
            wire = KafkaNetClient(**config)
            # An admin client has no such option, and asks for the leaders of partitions in the same way.
            wire._manager.cluster.config["allow_auto_create_topics"] = False
            if wire._manager.config["security_protocol"] != "PLAINTEXT":
                tls.say_why(wire._manager)
            opened.callback(wire.close)
            return wire

        # kafka-python chooses the class of a socket by the scheme of `proxy_url`.
        direct = f"{_ClosingSocket.SCHEMES[0]}://"
        client = make(*topics, kafka_client=connect, proxy_url=direct, **options)
        opened.pop_all()
        return client


def cluster_of(admin: KafkaAdminClient) -> Mapping[str, Any]:
    """Return the cluster's `cluster_id` (None before Kafka 0.10.1) and `brokers`. Blocks up to some seconds; raises
    KafkaError.

    By metadata, which every broker answers: `describe_cluster()` raises KeyError on the answers of Kafka 2.8 to 3.6.
    Fails without it: test_brokers_that_describe_their_cluster_in_an_older_way_are_understood.
    """
    found: dict[str, Any] = admin._manager.run(admin._get_cluster_metadata, [])
    return found


class Questions:
    """The smallest question, to some brokers at once, by an admin client's connections. They wait for `timeout_ms`.

    No public method asks without waiting. Fails without it: tests/integration/test_frozen_broker.py.
    """

    def __init__(self, admin: KafkaAdminClient, timeout_ms: int) -> None:
        self._manager = admin._manager
        self._timeout_ms = timeout_ms
        self._asked: list[Any] = []

    def ask(self, broker: int | None = None) -> None:
        """Ask this broker, or the one that has the least to do. Does not block."""
        request = MetadataRequest(topics=[], allow_auto_topic_creation=False)

        async def sent() -> Any:
            return await self._manager.send(request, node_id=broker, request_timeout_ms=self._timeout_ms)

        self._asked.append(self._manager.call_soon(sent))

    def ask_all(self) -> None:
        """Ask every broker that is known. Does not block."""
        for broker in list(self._manager.cluster.brokers()):
            self.ask(broker.node_id)

    def end_within(self, timeout_ms: int) -> bool:
        """Tell whether the first question was answered, or failed, within the time. Blocks as long."""
        with suppress(KafkaError):
            self._manager.run(self._manager.wait_for, self._asked[0], timeout_ms)
        return bool(self._asked[0].is_done)

    @property
    def answered(self) -> bool:
        """Whether one of the questions was answered."""
        return any(asked.succeeded() for asked in self._asked)


def metadata_of(consumer: KafkaConsumer) -> Any:
    """Return what the consumer has heard of the cluster: leaders, their epochs, topic ids. It follows the cluster.

    Fails without it: tests/integration/test_event_reader.py.
    """
    return consumer._cluster


def hear_of(consumer: KafkaConsumer, topics: Sequence[str], timeout_ms: int) -> None:
    """Have the consumer hear of these topics: their partitions and leaders. Blocks for `timeout_ms` at the longest.

    `partitions_for_topic()` waits without end where the broker goes away. An answer that was under way does not have
    the topics, so the question is asked twice. Fails without it: tests/cli/test_timeline.py.
    """
    for topic in topics:
        consumer._cluster.add_topic(topic)
    for _ in range(2):
        if any(consumer._cluster.partitions_for_topic(topic) is None for topic in topics):
            consumer._manager.run(consumer._manager.wait_for, consumer._cluster.request_update(), timeout_ms)


def ask(consumer: KafkaConsumer, broker: int, request: Any) -> Any:
    """Send a request to one broker, by the consumer's connection; return the future of its answer at once.

    No public method asks for the end of a leader's own log. Fails without it: tests/integration/test_kafka_cluster.py.
    """
    send = consumer._manager.send

    async def sent() -> Any:
        return await send(request, node_id=broker)

    return consumer._manager.call_soon(sent)


def answer_of(consumer: KafkaConsumer, broker: int, request: Any, timeout_ms: int) -> Any:
    """Return a broker's answer to a request, by the consumer's connection. Blocks for `timeout_ms`; raises KafkaError.

    No public method reads one record beside what is polled. Fails without it:
    test_what_is_polled_and_what_is_looked_up_are_the_same.
    """
    return consumer._manager.run(consumer._manager.wait_for, ask(consumer, broker, request), timeout_ms)
