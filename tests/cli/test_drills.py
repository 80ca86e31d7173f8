"""`drill`: faults made on purpose in a running service, each to its end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.models.drills import DrillName, asked, read_asked, taken, taken_by
from app.operations import drills as operations
from tests.harness.service import Instance
from tests.harness.terminal import Terminal
from tests.harness.world import World, a_create, wait_for

Make = Callable[[World], Terminal]
ASKED = ("--reason", "training", "--yes", "--as", "alice")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "STEADY_SECONDS", 0.5)


@pytest.fixture
def drilled(world: World) -> World:
    """A running service that takes drills; the command may ask for them too."""
    world.environment["DRILLS"] = "1"
    world.start()
    world.create()
    return world


def test_a_drill_is_refused_unless_the_command_has_the_setting(untouched: World, terminal: Make) -> None:
    refusal = terminal(untouched).refusal("drill", "leader", *ASKED)
    assert refusal == "Drills are off: set DRILLS=1 for the service and for this command."
    assert terminal(untouched).audit() == []


def test_a_drill_is_refused_unless_a_running_service_has_the_setting(
    running: World, terminal: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.create()
    monkeypatch.setattr(operations, "TAKE_SECONDS", 2.5)
    running.environment["DRILLS"] = "1"
    refusal = terminal(running).refusal("drill", "leader", *ASKED)
    assert refusal == "No process of the service takes drills: set DRILLS=1 for the service too, and restart it."
    assert running.count("alarms", "name = 'drill' AND ended_at IS NULL") == 0
    assert running.query("SELECT who, subject, detail FROM operator_actions") == [
        ("alice", "drill leader", f"training; failed: {refusal}")
    ]


def test_a_drill_is_refused_where_something_is_wrong_already(drilled: World, terminal: Make) -> None:
    drilled.query("INSERT INTO order_counts (kind, value, orders) VALUES ('status', 'PLACED', 5)")
    refusal = terminal(drilled).refusal("drill", "leader", *ASKED)
    assert refusal.startswith("A drill begins where nothing is wrong, and `check` finds: ")
    assert drilled.count("alarms", "name = 'drill'") == 0


def test_the_service_gets_over_each_drill(drilled: World, terminal: Make, subtests: pytest.Subtests) -> None:
    """Beside each what tells that the fault was a real one."""
    proofs: dict[DrillName, Callable[[], object]] = {
        DrillName.LEADER: lambda: backend(drilled, "relay:events"),
        DrillName.DEAD_LETTER_LEADER: lambda: backend(drilled, "relay:dead_letters"),
        DrillName.CONSUMER: lambda: members(drilled),
        DrillName.SESSIONS: lambda: backend(drilled, "relay:dead_letters"),
        DrillName.RECORDS: lambda: drilled.count("dead_letters", "resolution = 'discarded'"),
    }
    for name, proof in proofs.items():
        with subtests.test(name.value):
            before = wait_for(proof, name.value) if name is not DrillName.RECORDS else proof()
            report = terminal(drilled).json("drill", name.value, *ASKED)
            assert (report["name"], report["wrong"]) == (name.value, None)
            assert wait_for(proof, name.value) != before
            order = drilled.order(report["canary"]["order_id"])
            assert (order or ("gone",))[0] == "CANCELLED"
            audit = "SELECT who, detail FROM operator_actions WHERE id = %s"
            ((who, detail),) = drilled.query(audit, (report["line"],))
            assert (who, detail.startswith("training; taken by "), detail[-15:]) == ("alice", True, " check is clean")
    assert "was sent and discarded; a command that came twice made one order" in report["acted"]
    assert drilled.count("alarms", "name = 'drill' AND ended_at IS NULL") == 0


def test_a_worker_that_takes_the_drill_stops_itself_alone(world: World, terminal: Make, tmp_path: Path) -> None:
    world.environment["DRILLS"] = "1"
    instance = Instance(tmp_path, world.environment)
    instance.start()
    try:
        master, worker = instance.processes()
        world.ask(a_create())
        lines = terminal(world).prints("drill", "instance", *ASKED).splitlines()
        assert lines[0] == "Drill instance: a worker of one instance is stopped by SIGTERM."
        assert f":{worker.pid}:" in lines[1]
        assert lines[4] == "Nothing is wrong."
        assert instance.processes()[0].pid == master.pid
        assert not worker.is_running()
    finally:
        instance.kill()


def backend(world: World, lock: str) -> object:
    """When the session began that has the lead of a lane, None while nobody has it."""
    leads = (
        "SELECT pid, granted_by.backend_start FROM pg_locks JOIN pg_stat_activity AS granted_by USING (pid) "
        "WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) | objid::bigint = hashtextextended(%s, 0)"
    )
    return world.query(leads, (lock,))


def members(world: World) -> object:
    described = world.wire.admin.describe_groups([world.group])[world.group]
    return {member["member_id"] for member in described["members"]}


def test_one_drill_at_a_time(drilled: World, terminal: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "_require_well", lambda settings: None)
    drilled.query(
        "INSERT INTO alarms (name, holder, sentence, evidence, since, last_at, count) "
        "VALUES ('drill', 'drill', 's', 'taken: leader 1 by x', now(), now(), 1)"
    )
    assert terminal(drilled).refusal("drill", "leader", *ASKED) == "Another drill runs: wait for its end."


def test_a_drill_is_taken_once() -> None:
    evidence = asked(DrillName.LEADER, 7)
    assert read_asked(evidence) == (DrillName.LEADER, 7)
    assert taken_by(evidence) is None
    by = taken(DrillName.LEADER, 7, "host:1")
    assert (read_asked(by), taken_by(by)) == (None, "host:1")
    assert [read_asked(unknown) for unknown in ("", "asked: flood 7", "asked: leader x")] == [None] * 3
