"""Jobs: each thing is done once, whichever process does it, however it ends."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

import psycopg2
import pytest

from app.database.database import Database
from app.database.jobs import JobTable
from app.database.pool import Pool
from app.models.jobs import Do, ItemDone, JobItem, Kind
from app.models.operator_errors import KafkaUnusable, NotFound, NotPossible
from app.operations import jobs as operations
from app.operations.audit import Operator
from app.operations.job_items import mark_done
from app.operations.jobs import Job
from app.operations.letter_jobs import replaying
from app.operations.transaction import transaction
from app.services import jobs
from app.services.jobs import Jobs, JobThread
from app.services.nightly import Nightly
from app.utils.alarms import Alarms
from tests.cli.test_dead_letters import a_letter, resolution
from tests.harness.world import World, wait_for
from tests.integration.test_kafka_faults_of_ours import RAISES

NEVER = Nightly("")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread looks more often, and takes over sooner: the tests would wait for it."""
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(jobs, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(jobs, "REST_SECONDS", 0.2)


class Processes:
    """The threads of several processes, each with a kind of job that the test gives it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stops: list[threading.Event] = []
        self.threads: list[threading.Thread] = []
        self.pools: list[Pool] = []
        self.alarms = Alarms()

    def start(self, name: str, do: Do) -> threading.Event:
        """As `run`, for a kind that needs nothing opened."""
        return self.run(name, kind(do))

    def run(self, name: str, replay: Kind) -> threading.Event:
        """Start the thread of one more process; setting the event ends it."""
        pool = Pool(Database(self.world.settings().database_url), 1)
        thread = Jobs(JobTable(pool, name), {"replay": replay}, NEVER, self.alarms)
        stop = threading.Event()
        self.stops.append(stop)
        self.pools.append(pool)
        self.threads.append(threading.Thread(target=thread.run, args=(stop, lambda: None)))
        self.threads[-1].start()
        return stop

    def close(self) -> None:
        for stop in self.stops:
            stop.set()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        for pool in self.pools:
            pool.drop_idle()


def kind(do: Do) -> Kind:
    @contextmanager
    def opened() -> Iterator[Do]:
        yield do

    return opened


@pytest.fixture
def halted(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a job is asked to end after the item at hand."""
    halt, asked = JobThread.halt, threading.Event()

    def noted(self: JobThread) -> None:
        halt(self)
        asked.set()

    monkeypatch.setattr(JobThread, "halt", noted)
    return asked


@pytest.fixture
def processes(untouched: World) -> Iterator[Processes]:
    made = Processes(untouched)
    yield made
    made.close()


def a_job(world: World, letters: int, seconds: int = 60) -> int:
    """A job about so many new dead letters."""
    ids = [a_letter(world, b"{") for _ in range(letters)]
    return operations.start(
        Operator(world.settings(), "alice"), "replay", ids, reason="mended", deadline_seconds=seconds
    )


def show(world: World, job_id: int) -> Job:
    return operations.show(world.settings(), job_id)


def over(world: World, job_id: int) -> Job:
    """The job, once it is over."""
    wait_for(lambda: show(world, job_id).is_over, "the end of the job")
    return show(world, job_id)


def marking(world: World, done: list[str], before: Callable[[JobItem], object] = lambda _: None) -> Do:
    """Does an item by noting its subject in the transaction that marks it."""

    def do(item: JobItem) -> None:
        before(item)
        with transaction(world.settings()) as connection:
            mark_done(connection, item, f"did {item.subject}")
        done.append(item.subject)

    return do


def test_a_job_sends_dead_letters_again_and_says_where(world: World) -> None:
    job_id = a_job(world, 3)
    assert [(item.state, item.result) for item in show(world, job_id).items] == [("waiting", None)] * 3
    world.start()
    job = over(world, job_id)
    assert (job.state, job.outcome, job.who, job.reason) == ("done", "3 of 3 done", "alice", "mended")
    records = {f"{world.commands}/{it['partition']}/{it['offset']}" for it in world.wire.read(world.commands)}
    assert {item.result for item in job.items} == {
        f"Dead letter {letter} was sent again, as {place}." for letter, place in sent(world)
    }
    assert {place for _, place in sent(world)} == records
    audit = world.query("SELECT who, action, subject, detail FROM operator_actions")
    assert audit == [("alice", "replay-job", f"job {job_id}", "3 dead letters (1, 2, 3): mended")]


def sent(world: World) -> list[tuple[int, str]]:
    return world.query("SELECT id, sent_as FROM dead_letters WHERE resolution = 'replayed'")


def test_what_cannot_be_done_is_told_and_the_rest_is_done(untouched: World) -> None:
    first, second, third = (a_letter(untouched, b"{") for _ in range(3))
    untouched.query("UPDATE dead_letters SET sent_at = NULL, refusal = 'too large' WHERE id = %s", (second,))
    operator = Operator(untouched.settings(), "alice")
    job_id = operations.start(operator, "discard", (first, second, third), reason="a load test")
    untouched.start()
    job = over(untouched, job_id)
    assert [resolution(untouched, letter) for letter in (first, second, third)] == ["discarded", None, "discarded"]
    assert (job.state, [item.state for item in job.items]) == ("done", ["done", "failed", "done"])
    refused = f"The dead letter topic refused dead letter {second}, so its bytes are nowhere else: "
    refused += "discard it by name, and the audit keeps them."
    assert job.outcome == f"2 of 3 done, 1 failed; the first: {refused}"
    assert untouched.count("dead_letters", "value IS NULL") == 2


def test_of_two_processes_one_does_a_job_and_each_thing_once(untouched: World, processes: Processes) -> None:
    done: list[str] = []
    for name in ("a", "b"):
        processes.start(name, marking(untouched, done))
    jobs_ = [a_job(untouched, 20) for _ in range(3)]
    states = [over(untouched, job_id).state for job_id in jobs_]
    assert states == ["done"] * 3
    assert sorted(map(int, done)) == list(range(1, 61))


def test_a_job_goes_on_in_another_process_when_the_first_one_freezes(untouched: World, processes: Processes) -> None:
    """The first one wakes later and does nothing: the thing at hand was done by the other one."""
    done: list[str] = []
    refused: list[str] = []
    frozen, wake = threading.Event(), threading.Event()
    mark = marking(untouched, done, lambda item: freeze(item))

    def late(item: JobItem) -> None:
        try:
            mark(item)
        except ItemDone:
            refused.append(item.subject)
            raise

    def freeze(item: JobItem) -> None:
        if item.subject == "3":
            frozen.set()
            assert wake.wait(20)

    job_id = a_job(untouched, 5)
    first = processes.start("a", late)
    assert frozen.wait(20)
    first.set()  # it renews no more
    others: list[str] = []
    processes.start("b", marking(untouched, others))
    assert over(untouched, job_id).outcome == "5 of 5 done"
    wake.set()
    assert wait_for(lambda: refused or done[2:], "what the frozen one does") == ["3"]
    assert (refused, done, others) == (["3"], ["1", "2"], ["3", "4", "5"])
    assert [item.result for item in show(untouched, job_id).items] == [f"did {n}" for n in range(1, 6)]


def test_a_process_that_is_stopped_gives_its_job_back_at_once(
    untouched: World, processes: Processes, halted: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 600.0)
    done: list[str] = []
    job_id = a_job(untouched, 3)
    begun = threading.Event()

    def wait(_: JobItem) -> None:
        begun.set()
        assert halted.wait(20)

    stop = processes.start("a", marking(untouched, done, wait))
    assert begun.wait(20)
    stop.set()
    wait_for(lambda: show(untouched, job_id).holder is None and done, "the job given back")
    assert show(untouched, job_id).state == "running"
    processes.start("b", marking(untouched, done))
    assert over(untouched, job_id).outcome == "3 of 3 done"
    assert sorted(done) == ["1", "2", "3"]


def test_a_job_that_is_stopped_ends_after_the_thing_at_hand(
    untouched: World, processes: Processes, halted: threading.Event
) -> None:
    done: list[str] = []
    operator = Operator(untouched.settings(), "bob")
    begun = threading.Event()

    def wait(_: JobItem) -> None:
        begun.set()
        assert halted.wait(20)

    job_id, waiting = a_job(untouched, 3), a_job(untouched, 1)
    processes.start("a", marking(untouched, done, wait))
    assert begun.wait(20)
    assert operations.stop(operator, waiting) is True
    assert show(untouched, waiting).outcome == "Stopped by bob before it began"
    assert operations.stop(operator, job_id) is False
    job = over(untouched, job_id)
    assert (job.state, job.outcome) == ("stopped", "Stopped by bob; 1 of 3 done")
    assert done == ["1"]
    with pytest.raises(NotPossible, match="is over: stopped"):
        operations.stop(operator, job_id)


def test_a_trouble_that_passes_is_waited_for_and_shown(untouched: World, processes: Processes) -> None:
    done: list[str] = []
    mended = threading.Event()

    def fail(item: JobItem) -> None:
        if item.subject == "2" and not mended.is_set():
            raise KafkaUnusable("No broker answers.")

    job_id = a_job(untouched, 3)
    processes.start("a", marking(untouched, done, fail))
    wait_for(lambda: show(untouched, job_id).trouble == "No broker answers.", "the trouble")
    mended.set()
    assert over(untouched, job_id).outcome == "3 of 3 done"
    assert (done, show(untouched, job_id).trouble) == (["1", "2", "3"], None)


def test_a_topic_that_is_missing_is_waited_for(untouched: World, processes: Processes) -> None:
    """The real kind: its producer is opened anew after the trouble."""
    job_id = a_job(untouched, 2)
    processes.run("a", partial(replaying, untouched.settings()))
    wait_for(lambda: (show(untouched, job_id).trouble or "").startswith("There is no topic"), "the trouble")
    untouched.wire.create_topics(untouched.commands, untouched.events, untouched.letters)
    assert over(untouched, job_id).outcome == "2 of 2 done"
    assert len(untouched.wire.read(untouched.commands)) == 2


def test_what_is_not_done_by_the_deadline_is_not_done(untouched: World, processes: Processes) -> None:
    done: list[str] = []

    def fail(item: JobItem) -> None:
        raise KafkaUnusable("No broker answers.")

    job_id = a_job(untouched, 2, seconds=1)
    processes.start("a", marking(untouched, done, fail))
    job = over(untouched, job_id)
    assert (job.state, job.outcome, done) == ("failed", "Not done by its deadline; 0 of 2 done", [])


def test_a_fault_of_the_code_ends_the_job_and_is_told(untouched: World, processes: Processes) -> None:
    def fail(item: JobItem) -> None:
        raise ZeroDivisionError("a bug")

    job_id = a_job(untouched, 2)
    processes.start("a", fail)
    job = over(untouched, job_id)
    assert (job.state, job.outcome) == ("failed", "The code fails: ZeroDivisionError: a bug; 0 of 2 done")


def test_a_job_that_ends_its_process_each_time_is_given_up(untouched: World, processes: Processes) -> None:
    done: list[str] = []
    job_id = a_job(untouched, 2)
    untouched.query("UPDATE jobs SET holder = 'dead', held_until = now(), attempts = 4")
    processes.start("a", marking(untouched, done))
    job = over(untouched, job_id)
    assert (job.state, job.outcome) == ("failed", "5 processes ended while they did it; 0 of 2 done")
    assert done == []


def test_a_kind_that_this_version_does_not_know_waits(untouched: World, processes: Processes) -> None:
    done: list[str] = []
    job_id, known = a_job(untouched, 1), a_job(untouched, 1)
    untouched.query("UPDATE jobs SET kind = 'later' WHERE id = %s", (job_id,))
    processes.start("a", marking(untouched, done))
    over(untouched, known)
    assert (show(untouched, job_id).state, done) == ("waiting", ["2"])


def test_a_job_has_bounds(untouched: World) -> None:
    operator = Operator(untouched.settings(), "alice")
    start = partial(operations.start, operator, reason="r")
    with pytest.raises(NotPossible, match="A job takes 1000 dead letters at most: these are 1001"):
        start("replay", range(1001))
    with pytest.raises(NotFound, match=r"There is no dead letter 7, 9\. Nothing was begun\."):
        start("replay", [a_letter(untouched, b"{"), 7, 9])
    with pytest.raises(NotPossible, match="A job replay is about dead letters"):
        start("replay", [])
    with pytest.raises(NotPossible, match="A job check is about everything"):
        start("check", [1])
    with pytest.raises(NotPossible, match="There is no job 'dance'"):
        start("dance", [1])
    with pytest.raises(NotPossible, match="Give a reason"):
        operations.start(operator, "replay", [1], reason=" ")
    assert (untouched.count("jobs"), untouched.count("operator_actions")) == (0, 0)


def test_a_thread_that_cannot_work_with_the_table_says_why_until_it_can(processes: Processes) -> None:
    world = processes.world
    world.query(f"{RAISES}; CREATE TRIGGER breaks BEFORE UPDATE ON jobs EXECUTE FUNCTION breaks('58030')")
    processes.start("a", lambda _: None)
    assert "58030" in wait_for(lambda: processes.alarms.all().get(jobs.ALARM), "the alarm")
    world.query("DROP TRIGGER breaks ON jobs")
    wait_for(lambda: processes.alarms.all() == {}, "its end")


def test_a_table_of_jobs_that_somebody_holds_is_told(processes: Processes, database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as other:
        other.cursor().execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        processes.start("a", lambda _: None)
        wait_for(lambda: jobs.ALARM in processes.alarms.all(), "the alarm")
    wait_for(lambda: processes.alarms.all() == {}, "its end")
