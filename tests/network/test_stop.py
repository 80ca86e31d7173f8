"""SIGTERM: who was accepted is answered, also who was accepted by the kernel alone, and nobody holds up the end."""

import signal
import time

import psutil
import pytest

from tests.harness.service import Instance
from tests.network.test_requests import ORDER
from tests.network.wire import HEALTH, POST, Client

STOP_SECONDS = 6.0
CREATE = POST + b"Content-Length: %d\r\n\r\n%s" % (len(ORDER), ORDER)


@pytest.fixture
def instance(own_service: Instance) -> Instance:
    own_service.start()
    return own_service


def sigterm(instance: Instance) -> float:
    """Send it; return when."""
    instance.processes()[0].send_signal(signal.SIGTERM)
    return time.monotonic()


def await_end(instance: Instance, since: float, seconds: float = STOP_SECONDS) -> None:
    assert instance.terminate() == 0
    assert time.monotonic() - since < seconds
    assert "SIGKILL" not in instance.log_text()
    assert "Traceback" not in instance.log_text()


def test_clients_that_do_not_hang_up_hold_up_nothing(instance: Instance) -> None:
    """12 that keep their connections, 12 that send nothing, and 40 with a request that comes with the signal."""
    keepers = [Client(instance.port) for _ in range(12)]
    assert {keeper.ask(HEALTH).status for keeper in keepers} == {200}
    silent = [Client(instance.port) for _ in range(12)]
    askers = [Client(instance.port) for _ in range(40)]
    for asker in askers:
        asker.send(CREATE[:-5])
    since = sigterm(instance)
    for asker in askers:
        asker.send(CREATE[-5:])
    assert {asker.answer().status for asker in askers} == {201}
    assert all(client.is_closed() for client in (*keepers, *silent, *askers))
    await_end(instance, since)


def test_who_waits_in_the_kernel_is_answered(instance: Instance) -> None:
    """The worker does nothing while they come, and finds them and the signal together."""
    worker = psutil.Process(instance.processes()[1].pid)
    worker.suspend()
    waiting = [Client(instance.port) for _ in range(100)]
    for one in waiting:
        one.send(CREATE)
    since = sigterm(instance)
    worker.resume()
    assert {one.answer().status for one in waiting} == {201}
    await_end(instance, since)


def test_a_request_that_comes_just_after_its_connection_is_answered(instance: Instance) -> None:
    """Its line is long: it was accepted before the signal, its request comes after."""
    late = [Client(instance.port) for _ in range(20)]
    assert late[0].ask(HEALTH).status == 200
    since = sigterm(instance)
    time.sleep(0.5)
    for one in late[1:]:
        one.send(CREATE)
    assert {one.answer().status for one in late[1:]} == {201}
    await_end(instance, since)


def test_an_answer_on_its_way_to_a_slow_reader_arrives_whole(instance: Instance) -> None:
    slow = Client(instance.port, receive_buffer=4096)
    slow.send(HEALTH.replace(b"/health", b"/apidocs/swagger-ui-5.35.0/swagger-ui-bundle.js"))
    first = slow.socket.recv(1000)
    since = sigterm(instance)
    size = int(first.split(b"Content-Length: ")[1].split(b"\r\n")[0]) + first.index(b"\r\n\r\n") + 4
    total = len(first)
    while total < size:
        part = slow.socket.recv(16384)
        assert part, "the answer was cut"
        total += len(part)
        time.sleep(0.01)
    await_end(instance, since, time.monotonic() - since + STOP_SECONDS)
