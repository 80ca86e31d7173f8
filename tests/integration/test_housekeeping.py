"""Housekeeping deletes what is past its time and nothing else, in bites, one process at a time, in nobody's way."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from app.database.database import Database
from app.database.pool import Pool
from app.kafka import topics
from app.models.errors import DatabaseAway
from app.services import housekeeping
from app.services.housekeeping import Housekeeping
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from tests.harness.world import World, wait_for

HOUR = 3600.0
TABLES = {
    "idempotency_keys": "INSERT INTO idempotency_keys (path, key, body_hash, status, body, created_at) "
    "SELECT '/p', n::text, '', 200, '', now() - %s * interval '1 hour' FROM generate_series(1, %s) AS n",
    "command_identities": "INSERT INTO command_identities (hash, created_at) "
    "SELECT sha256(n::text::bytea), now() - %s * interval '1 hour' FROM generate_series(1, %s) AS n",
    "jobs": "INSERT INTO jobs (kind, who, reason, input, state, once, created_at, deadline_at, ended_at) "
    "SELECT 'k', 'w', 'r', '{}', 'done', n::text, now() - %s * interval '1 hour', now(), now() "
    "FROM generate_series(1, %s) AS n",
    "refused_accepts": "INSERT INTO refused_accepts (order_id, runner_id, refused_at) "
    "SELECT n::text, 'r', now() - %s * interval '1 hour' FROM generate_series(1, %s) AS n",
    "http_refusals": "INSERT INTO http_refusals (path, code, correlation_id, times, created_at) "
    "SELECT '/p', 'c', n::text, 1, now() - %s * interval '1 hour' FROM generate_series(1, %s) AS n",
    "flow_minutes": "INSERT INTO flow_minutes (minute, holder, figures) "
    "SELECT now() - %s * interval '1 hour', n::text, '{}' FROM generate_series(1, %s) AS n",
}
Run = Callable[..., list[tuple[object, ...]]]
ADD_A_DELTA = "INSERT INTO order_count_deltas VALUES (1, 'CREATED', 'customer-1', NULL, now())"
BREAK_THE_FOLD = "ALTER TABLE order_counts ADD CONSTRAINT ck_broken CHECK (orders < 0)"
MEND_THE_FOLD = "ALTER TABLE order_counts DROP CONSTRAINT ck_broken"


@pytest.fixture
def run(database_url: str) -> Iterator[Run]:
    """Runs a statement behind the service's back."""
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True

        def execute(sql: str, *parameters: object) -> list[tuple[object, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return cursor.fetchall() if cursor.description else []

        yield execute


def prune(pool: Pool, **ages: float | None) -> dict[str, int]:
    return keeper(pool, Alarms(), **ages).prune(threading.Event(), lambda: None)


def keeper(pool: Pool, alarms: Alarms, **ages: float | None) -> Housekeeping:
    return Housekeeping(pool, lambda: ages, alarms)


def fold(keeper: Housekeeping) -> int:
    return keeper.fold(threading.Event(), lambda: None)


@pytest.mark.parametrize("table", TABLES)
def test_what_is_past_its_time_goes_in_bites_and_the_rest_stays(
    pool: Pool, run: Run, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "PRUNE_LIMIT", 3)
    run(TABLES[table], 50, 10)
    run(TABLES[table].replace("n::text", "(n + 100)::text"), 47, 2)
    assert prune(pool, **{table: 48 * HOUR}) == {table: 10}
    assert run(f"SELECT count(*) FROM {table}") == [(2,)]


def test_without_an_age_nothing_goes(pool: Pool, run: Run) -> None:
    run(TABLES["command_identities"], 10_000, 3)
    assert prune(pool, command_identities=None) == {}
    assert run("SELECT count(*) FROM command_identities") == [(3,)]


def test_a_row_that_somebody_holds_is_left_for_another_time(pool: Pool, run: Run, database_url: str) -> None:
    run(TABLES["idempotency_keys"], 50, 3)
    with closing(psycopg2.connect(database_url)) as holder, holder, holder.cursor() as cursor:
        cursor.execute("SELECT FROM idempotency_keys WHERE key = '2' FOR UPDATE")
        assert prune(pool, idempotency_keys=HOUR) == {"idempotency_keys": 2}
    assert prune(pool, idempotency_keys=HOUR) == {"idempotency_keys": 1}


def test_who_finds_another_at_work_does_nothing(pool: Pool, run: Run, database_url: str) -> None:
    run(TABLES["idempotency_keys"], 50, 3)
    with closing(psycopg2.connect(database_url)) as other, other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('housekeeping', 0))")
        assert prune(pool, idempotency_keys=HOUR) == {"idempotency_keys": 0}
    assert prune(pool, idempotency_keys=HOUR) == {"idempotency_keys": 3}


def test_a_running_service_folds_its_counts(running: World) -> None:
    running.create()
    by_status = "SELECT value, orders FROM order_counts WHERE kind = 'status'"
    assert wait_for(lambda: running.query(by_status), "the counts") == [("PENDING", 1)]
    assert running.query("SELECT * FROM order_count_deltas") == []


def test_a_fold_that_fails_keeps_nothing_from_being_pruned(
    pool: Pool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "PRUNE_SECONDS", 0.0)
    run(f"{BREAK_THE_FOLD}; {ADD_A_DELTA}")
    run(TABLES["refused_accepts"], 50, 3)
    alarms, stop = Alarms(), threading.Event()

    def until_pruned() -> None:
        if run("SELECT count(*) FROM refused_accepts") == [(0,)]:
            stop.set()

    keeper(pool, alarms, refused_accepts=HOUR).run(stop, until_pruned)
    assert run("SELECT count(*) FROM order_count_deltas") == [(1,)]
    assert alarms.all() == {}


def test_what_has_failed_for_a_while_rings_an_alarm_until_it_works(
    pool: Pool, run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That another process is at work is no sign that it does."""
    monkeypatch.setattr(housekeeping, "FAILING_SECONDS", 0.0)
    run(f"{BREAK_THE_FOLD}; {ADD_A_DELTA}")
    alarms = Alarms()
    ours = keeper(pool, alarms)
    assert fold(ours) == 0
    assert '"ck_broken"' in alarms.all()["fold_counts"]
    run(MEND_THE_FOLD)
    with closing(psycopg2.connect(database_url)) as other, other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('housekeeping', 0))")
        fold(ours)
    assert "fold_counts" in alarms.all()
    assert (fold(ours), alarms.all()) == (1, {})


def test_a_pruning_that_fails_rings_at_once_and_is_tried_again_until_it_works(
    pool: Pool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own time comes every five minutes only."""
    monkeypatch.setattr(housekeeping, "FOLD_SECONDS", 0.01)
    monkeypatch.setattr(housekeeping, "RETRY_SECONDS", 0.1)
    run(TABLES["refused_accepts"], 50, 3)
    run("CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'broken'; END$$")
    run("CREATE TRIGGER broken BEFORE DELETE ON refused_accepts FOR EACH ROW EXECUTE FUNCTION broken()")
    alarms, stop, deadline = Alarms(), threading.Event(), Deadline(20)
    keeping = keeper(pool, alarms, refused_accepts=HOUR)
    keeping._next_pruning = Deadline(0)
    seen: list[dict[str, str]] = []

    def mend_and_wait() -> None:
        if alarms.all() and not seen:
            seen.append(alarms.all())
            run("DROP TRIGGER broken ON refused_accepts")
        if deadline.passed or (seen and not alarms.all()):
            stop.set()

    keeping.run(stop, mend_and_wait)
    assert [list(alarm) for alarm in seen] == [["prune_refused_accepts"]]
    assert (alarms.all(), run("SELECT count(*) FROM refused_accepts")) == ({}, [(0,)])


def test_a_counting_of_places_that_fails_rests_while_others_fold(
    pool: Pool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "FOLD_SECONDS", 0.01)
    run("DELETE FROM order_count_marks; ALTER TABLE order_count_marks ADD CONSTRAINT ck_broken CHECK (mark = '')")
    alarms, stop = Alarms(), threading.Event()
    tries: list[object] = []
    keeping = keeper(pool, alarms)
    place = keeping.place_statuses

    def count_and_place() -> None:
        tries.append(1)
        place()

    monkeypatch.setattr(keeping, "place_statuses", count_and_place)
    rounds = iter(range(20))
    keeping.run(stop, lambda: None if next(rounds, None) is not None else stop.set())
    assert (len(tries), list(alarms.all())) == (1, ["place_statuses"])
    assert keeping._next_placing.remaining > 0


def test_a_database_that_is_away_is_no_alarm_of_housekeeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "FAILING_SECONDS", 0.0)
    alarms = Alarms()
    with pytest.raises(DatabaseAway):
        fold(keeper(Pool(Database("postgresql://127.0.0.1:1/nowhere"), 1), alarms))
    assert alarms.all() == {}


@pytest.mark.parametrize(
    ("configs", "seconds"),
    [
        ({"retention.ms": "86400000", "segment.ms": "3600000"}, 90_000.0),
        ({"retention.ms": "-1"}, None),
        ({"cleanup.policy": "compact"}, None),
    ],
)
def test_how_long_a_topic_keeps_a_record_is_known(
    world: World, admin: KafkaAdminClient, configs: dict[str, str], seconds: float | None
) -> None:
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, world.commands, configs)])
    settings = world.settings()
    wait_for(lambda: topics.retention_seconds(settings, world.commands) == seconds, "what was set")


def test_of_a_topic_that_is_not_there_nothing_is_known(untouched: World) -> None:
    assert topics.retention_seconds(untouched.settings(), "nowhere") is None


def test_dead_letters_go_when_their_topic_has_had_them_for_long(pool: Pool, run: Run) -> None:
    """Or has refused; those that it has not had yet stay: nobody else has them."""
    a_letter = (
        'INSERT INTO dead_letters (event_id, topic, partition, "offset", error, created_at, sent_at, refusal) VALUES '
        "(gen_random_uuid(), 'commands', 0, 1, 'garbage', now() - make_interval(days => {}), {}, {}) RETURNING id"
    )
    kinds = [(40, "NULL", "NULL"), (40, "NULL", "'too large'"), (40, "now()", "NULL"), (20, "now()", "NULL")]
    made = [run(a_letter.format(*kind))[0][0] for kind in kinds]
    assert prune(pool, dead_letters=30 * 24 * HOUR) == {"dead_letters": 2}
    assert [row[0] for row in run("SELECT id FROM dead_letters ORDER BY id")] == [made[0], made[3]]


def test_commands_that_were_given_up_go_after_long(pool: Pool, run: Run) -> None:
    a_command = (
        'INSERT INTO given_up_commands (event_id, topic, partition, "offset", type, correlation_id, error, created_at) '
        "VALUES (gen_random_uuid(), 'commands', 0, 1, 't', 'c', 'e', now() - make_interval(days => {})) RETURNING id"
    )
    _, kept = (run(a_command.format(days))[0][0] for days in (40, 20))
    assert prune(pool, given_up_commands=30 * 24 * HOUR) == {"given_up_commands": 1}
    assert run("SELECT id FROM given_up_commands") == [(kept,)]
