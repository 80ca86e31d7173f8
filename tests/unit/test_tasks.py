"""Waiting in tasks and in threads: each wait ends for its own reason, once."""

import socket
import threading
import time

import pytest

from app.utils.deadline import Deadline
from app.utils.tasks import Gate, current_task, sleep, wait_for_socket
from tests.harness.tasks import in_a_task, start

LATE = 0.05


class OpenedMeanwhile(Gate):
    """A gate that another thread opens between the two looks of whoever waits."""

    _opened: bool

    @property
    def is_open(self) -> bool:
        if self._task is not None and not self._opened:
            self._opened = True
            opener = threading.Thread(target=self.open)
            opener.start()
            opener.join()
        return self._opened

    @is_open.setter
    def is_open(self, value: bool) -> None:
        self._opened = value


@in_a_task
def test_a_gate_that_another_thread_opens_as_the_wait_begins_ends_no_other_wait() -> None:
    assert OpenedMeanwhile().wait(10)
    began = time.monotonic()
    sleep(LATE)
    assert time.monotonic() - began >= LATE * 0.9


@in_a_task
def test_a_gate_is_opened_from_a_thread() -> None:
    gate = Gate()
    threading.Timer(LATE, gate.open).start()
    assert gate.wait(10)


@in_a_task
def test_a_wait_that_is_over_is_not_gone_on_with_when_the_gate_opens() -> None:
    gate = Gate()
    assert not gate.wait(0.01)
    gate.open()
    began = time.monotonic()
    sleep(LATE)
    assert time.monotonic() - began >= LATE * 0.9


def test_a_thread_waits_for_a_gate() -> None:
    gate = Gate()
    assert not gate.wait(0.01)
    threading.Timer(LATE, gate.open).start()
    assert gate.wait(10)


@pytest.mark.parametrize("to_write", [False, True])
def test_a_task_waits_for_a_socket_and_others_run_meanwhile(to_write: bool) -> None:
    one, other = socket.socketpair()

    @in_a_task
    def scenario() -> None:
        assert not wait_for_socket(one.fileno(), Deadline(0.01))
        waits = start(wait_for_socket, one.fileno(), Deadline(10), to_write=to_write)
        start(other.send, b"x")
        assert waits.result()

    with one, other:
        scenario()


@in_a_task
def test_an_answer_that_came_in_time_counts_though_the_loop_looks_late() -> None:
    """Timers that are due run behind what other sockets had to say, before the loop looks at any socket again."""
    task = current_task()
    assert task is not None
    (one, other), (busy, call) = socket.socketpair(), socket.socketpair()

    def keep_the_loop() -> None:
        busy.recv(1)
        other.send(b"x")
        time.sleep(2 * LATE)

    with one, other, busy, call:
        task.loop.add_reader(busy, keep_the_loop)
        waits = start(wait_for_socket, one.fileno(), Deadline(LATE))
        sleep(0)
        call.send(b"x")
        assert waits.result()
        task.loop.remove_reader(busy)


@in_a_task
def test_no_wait_ends_before_its_time() -> None:
    for milliseconds in range(1, 40):
        deadline = Deadline(milliseconds / 1000)
        assert not Gate().wait(milliseconds / 1000)
        assert deadline.passed
