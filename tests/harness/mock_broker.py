"""A broker that answers with errors as a script says: librdkafka's mock, out of confluent-kafka's wheel.

It runs in this process and keeps its records in memory, about 5 MiB a partition. It does not create topics on request,
and gets some versions of its own requests wrong: kafka-python is told of those that it gets right.
"""

import ctypes
import importlib.util
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kafka.errors import KafkaError, UnsupportedVersionError
from kafka.protocol.consumer.group import (
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    SyncGroupRequest,
)
from kafka.protocol.metadata.api_versions import ApiVersionsRequest
from kafka.protocol.metadata.find_coordinator import FindCoordinatorRequest

from tests.harness.proxy import Proxy

PRODUCER = 0
BROKER = 1
VERSIONS = 2  # the newest ApiVersions request that the mock can answer
# From the next version on these requests have compact lengths, which the mock reads or writes as others.
NEWEST = {
    OffsetCommitRequest: 7,
    OffsetFetchRequest: 5,
    FindCoordinatorRequest: 2,
    JoinGroupRequest: 5,
    HeartbeatRequest: 3,
    LeaveGroupRequest: 2,
    SyncGroupRequest: 3,
}
_POINTER, _TEXT = ctypes.c_void_p, ctypes.c_char_p
_INT, _INT16, _INT32, _SIZE = ctypes.c_int, ctypes.c_int16, ctypes.c_int32, ctypes.c_size_t
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "conf_new": (_POINTER,),
    "conf_set": (_INT, _POINTER, _TEXT, _TEXT, _TEXT, _SIZE),
    "new": (_POINTER, _INT, _POINTER, _TEXT, _SIZE),
    "destroy": (None, _POINTER),
    "mock_cluster_new": (_POINTER, _POINTER, _INT),
    "mock_cluster_destroy": (None, _POINTER),
    "mock_cluster_bootstraps": (_TEXT, _POINTER),
    "mock_set_apiversion": (_INT, _POINTER, _INT16, _INT16, _INT16),
    "mock_broker_set_host_port": (None, _POINTER, _INT32, _TEXT, _INT),
    "mock_group_initial_rebalance_delay_ms": (None, _POINTER, _INT32),
    "mock_topic_create": (_INT, _POINTER, _TEXT, _INT, _INT),
    # With "…" after the count in C: the error and the milliseconds of its answer's delay, once.
    "mock_broker_push_request_error_rtts": (_INT, _POINTER, _INT32, _INT16, _SIZE, _INT, _INT),
}


def _library() -> dict[str, Any]:
    """Return librdkafka's functions by name, without their prefix."""
    spec = importlib.util.find_spec("confluent_kafka")
    assert spec is not None
    assert spec.origin is not None
    [path] = Path(spec.origin).parents[1].glob("confluent_kafka.libs/librdkafka-*")
    loaded = ctypes.CDLL(str(path))
    found = {}
    for name, (result, *arguments) in _FUNCTIONS.items():
        found[name] = loaded[f"rd_kafka_{name}"]
        found[name].restype, found[name].argtypes = result, arguments
    return found


@dataclass(slots=True)
class Script:
    """The next `times` requests `api` of the service that hold `about` are answered with the error; `given` so far."""

    api: Any  # a request class of kafka-python, which has no types
    error: type[KafkaError]
    times: int
    about: bytes
    given: int = 0


class MockBroker:
    """One broker. Use as a context manager: it runs in the body, at `bootstrap`."""

    def __init__(self) -> None:
        self._call = _library()
        self._scripts: list[Script] = []
        self._lock = threading.Lock()
        self._open = ExitStack()

    @property
    def bootstrap(self) -> str:
        """The address, as KAFKA_BOOTSTRAP_SERVERS takes it."""
        return f"127.0.0.1:{self._front.port}"

    @property
    def front(self) -> Proxy:
        """What its clients speak to; its network may be set."""
        return self._front

    def __enter__(self) -> Self:
        call = self._call
        conf = call["conf_new"]()
        call["conf_set"](conf, b"log_level", b"0", None, 0)
        client = call["new"](PRODUCER, conf, None, 0)
        self._open.callback(call["destroy"], client)
        self._cluster = call["mock_cluster_new"](client, 1)
        self._open.callback(call["mock_cluster_destroy"], self._cluster)
        for request, newest in NEWEST.items():
            call["mock_set_apiversion"](self._cluster, request.API_KEY, 0, newest)
        call["mock_group_initial_rebalance_delay_ms"](self._cluster, 0)
        _, _, port = call["mock_cluster_bootstraps"](self._cluster).partition(b":")
        self._front = self._open.enter_context(_Front(int(port), self))
        call["mock_broker_set_host_port"](self._cluster, BROKER, b"127.0.0.1", self._front.port)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def create_topic(self, name: str, partitions: int = 3, **_: object) -> None:
        """Create a topic; it has no settings here."""
        self._call["mock_topic_create"](self._cluster, name.encode(), partitions, 1)

    def answer(self, api: Any, error: type[KafkaError], times: int, about: bytes = b"") -> Script:
        """Give this error to the next requests of the service that hold `about`; return what tells how often it was."""
        script = Script(api, error, times, about)
        with self._lock:
            self._scripts.append(script)
        return script

    def asked(self, request: bytes) -> None:
        """Give the mock the error for a request that it is about to get, if the script has one."""
        api, client = int.from_bytes(request[:2]), request[10 : 10 + int.from_bytes(request[8:10])]
        if not client.startswith(b"order-service-"):
            return
        with self._lock:
            fits = (it for it in self._scripts if api == it.api.API_KEY and it.given < it.times and it.about in request)
            script = next(fits, None)
            if script is not None:
                script.given += 1
                code = script.error.errno
                self._call["mock_broker_push_request_error_rtts"](self._cluster, BROKER, api, 1, code, 0)


class _Front(Proxy):
    """What the clients speak to: it tells the mock of each request, and answers what the mock cannot."""

    def __init__(self, target: int, mock: MockBroker) -> None:
        super().__init__(target)
        self._mock = mock

    def _requests(self, client: socket.socket) -> Iterator[bytes]:
        """Yield whole requests."""
        with client.makefile("rb") as stream:
            while len(size := stream.read(4)) == 4:
                request = stream.read(int.from_bytes(size))
                api, version = int.from_bytes(request[:2]), int.from_bytes(request[2:4])
                if api == ApiVersionsRequest.API_KEY and version > VERSIONS:
                    client.sendall(_ask_an_older_way(request))
                else:
                    self._mock.asked(request)
                    yield size + request


def _ask_an_older_way(request: bytes) -> bytes:
    """Return the answer of a broker that does not know this version of ApiVersions: the error, and those it knows."""
    numbers = (UnsupportedVersionError.errno, 0, 1, ApiVersionsRequest.API_KEY, 0, VERSIONS)
    answer = request[4:8] + b"".join(number.to_bytes(2) for number in numbers)
    return len(answer).to_bytes(4) + answer
