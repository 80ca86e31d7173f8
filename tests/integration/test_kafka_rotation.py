"""The files with the secrets for Kafka change while the service runs: no restart, nothing lost, nothing twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services import watch
from tests.harness.certificates import issue, write
from tests.harness.secure_broker import PASSWORD, SecureBroker
from tests.harness.world import World, a_create, details, service_of, wait_for

BODY = {"customer_id": "ann", "order_details": details()}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch looks more often."""
    monkeypatch.setattr(watch, "WATCH_LOOK_SECONDS", 0.2)


def both_ways(world: World) -> None:
    """An order by HTTP and one by a command are announced, each once, along with all from before."""
    before = len(world.replies())
    assert world.apps[0].test_client().post("/createOrder", json=BODY).status_code == 201
    world.send(a_create())
    world.settle()
    records = world.replies()
    assert len(records) == before + 2
    assert len({row["headers"]["event_id"] for row in records}) == len(records)


def renewals(world: World) -> int:
    return service_of(world.apps[0])._secrets.generation


def failures(world: World) -> dict[str, str | None]:
    return {thread.name: thread.last_error for thread in service_of(world.apps[0]).threads if thread.restarts}


def a_mounted_folder(folder: Path) -> None:
    """As Kubernetes mounts a secret: each file is a link through a link to a folder, which is swapped in one step."""
    (folder / "..data").symlink_to("first")
    for name in ("certificate", "key"):
        (folder / name).symlink_to(f"..data/{name}")


def an_identity(secure: SecureBroker, folder: Path, name: str) -> None:
    """A certificate for one more principal, which may do everything."""
    (folder / name).mkdir()
    own = issue(secure.ca, name, common_name=name)
    write(folder / name / "certificate", own.chain)
    write(folder / name / "key", own.key)
    secure.grant_all(name)


@pytest.fixture
def folder(secure: SecureBroker, tmp_path: Path) -> Iterator[Path]:
    an_identity(secure, tmp_path, "first")
    an_identity(secure, tmp_path, "second")
    a_mounted_folder(tmp_path)
    yield tmp_path
    for name in ("first", "second"):
        secure.revoke_all(name)


def test_a_certificate_is_changed_by_its_folder(secured: World, secure: SecureBroker, folder: Path) -> None:
    """The old principal loses its rights afterwards: a client that still were it would fail."""
    files = {f"KAFKA_SSL_{name.upper()}_FILE": str(folder / name) for name in ("certificate", "key")}
    secured.start(**secure.way("MUTUAL") | files)
    both_ways(secured)
    (folder / "..next").symlink_to("second")
    (folder / "..next").rename(folder / "..data")
    wait_for(lambda: renewals(secured) == 1, "the new certificate in use")
    both_ways(secured)
    secure.revoke_all("first")
    both_ways(secured)
    assert failures(secured) == {}


def test_a_wrong_file_changes_nothing_until_it_is_right(secured: World, secure: SecureBroker, tmp_path: Path) -> None:
    secured.start(**secure.login(tmp_path))
    both_ways(secured)
    write(tmp_path / "password", b"half of")
    sentence = wait_for(lambda: secured.alarm("kafka_secrets"), "the alarm")
    assert "KAFKA_SASL_PASSWORD_FILE" in sentence
    assert "half of" not in sentence
    (tmp_path / "password").unlink()
    wait_for(lambda: "cannot be read" in (secured.alarm("kafka_secrets") or ""), "the next sentence")
    both_ways(secured)
    try:
        secure.set_password("second-password")
        write(tmp_path / "password", b"second-password\n")
        wait_for(lambda: not secured.alarm("kafka_secrets"), "the end of the alarm")
        assert renewals(secured) == 1
        both_ways(secured)
    finally:
        secure.set_password(PASSWORD)
    assert failures(secured) == {}
