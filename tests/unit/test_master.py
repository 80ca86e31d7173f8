"""What gunicorn's master works out for its workers."""

import socket
import sys
from typing import ClassVar

import pytest

from app.server import master


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (["*"], ["0.0.0.0:7", "[::]:7"]),
        (["localhost"], ["127.0.0.1:7", "[::1]:7"]),
        (["127.0.0.1", "::1"], ["127.0.0.1:7", "[::1]:7"]),
        (["localhost", "127.0.0.1"], ["127.0.0.1:7", "[::1]:7"]),
    ],
)
def test_each_host_is_an_address_that_gunicorn_takes(
    monkeypatch: pytest.MonkeyPatch, hosts: list[str], expected: list[str]
) -> None:
    monkeypatch.setattr(master, "_has", lambda host: True)
    assert master.addresses({"host": hosts, "port": 7}) == expected


def test_a_machine_without_ipv6_is_listened_on_by_ipv4_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master, "_has", lambda host: ":" not in host)
    assert master.addresses({"host": ["*"], "port": 7}) == ["0.0.0.0:7"]


def test_an_address_that_is_taken_or_not_ours_is_said_by_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"^PORT {port} on 127\.0\.0\.1 is taken by another program$"):
            master.require_free([("127.0.0.1", port)], 0)
    master.require_free([("127.0.0.1", port)], 0)
    with pytest.raises(OSError, match=r"^HOST 192\.0\.2\.1 is no address of this machine$"):
        master.require_free([("192.0.2.1", port)], 0)


def test_workers_get_the_lines_of_the_env_file_and_do_not_read_it_again() -> None:
    found = master.environment_of_workers({"env_file": {"ROLES": "api"}})
    assert found == ["ROLES=api", "ORDER_SERVICE_HAS_READ_ENV_FILE=1"]


class Server:
    """What is used of gunicorn's arbiter."""

    class cfg:
        env: ClassVar[dict[str, str]] = {}
        env_orig: ClassVar[dict[str, str]] = {}
        address: ClassVar[list[object]] = []


def test_a_sighup_that_cannot_be_tried_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An update has taken Python away, or the system has no process to spare."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert master._try_next(Server()) == "the service cannot be tried: No such file or directory."


def test_a_release_that_does_not_tell_its_settings_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    assert master._try_next(Server()) == "the service cannot be tried: it does not tell its settings."
