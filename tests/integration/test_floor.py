"""The leader walks over no dead row, and misses none that comes late: the floor of the outbox on a real server."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ

from app.config.config import Settings
from app.database import lane_lease, schema
from app.database.database import Database
from app.database.lane_lease import PostgresLease, acquire_lease
from app.database.lanes import EVENTS

EVENT = "INSERT INTO outbox (event_id, aggregateid, type, correlation_id, payload) SELECT {id}, 'o', 't', 'c', '' "
ONE = EVENT.format(id="%s::uuid")
MANY = EVENT.format(id="gen_random_uuid()") + "FROM generate_series(1, 20000) RETURNING id"
LOOK = f"EXPLAIN (ANALYZE, BUFFERS) {EVENTS.select}"
FEW_PAGES = 50  # 20,000 rows have hundreds


@pytest.fixture
def url(database_url: str) -> str:
    settings = Settings.load({"DATABASE_URL": database_url})
    schema.migrate(settings.database_url)
    return settings.database_url


@pytest.fixture
def leader(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresLease]:
    """A leader that looks for the floor each time."""
    monkeypatch.setattr(lane_lease, "FLOOR_SECONDS", 0.0)
    with acquire_lease(Database(url), EVENTS, "topic", 100_000, threading.Event(), lambda: None) as found:
        assert found is not None
        yield found


def forget_all(leader: PostgresLease) -> list[uuid.UUID]:
    batch = leader.next_batch()
    leader.confirm_sent([record.id for record in batch], {})
    return [record.event_id for record in batch]


def pages_of_a_look(leader: PostgresLease) -> int:
    """How many pages a look touches."""
    plan = leader._call((LOOK, (leader._floor.id, 500, lane_lease.BATCH_BYTES)))
    buffers = next(line for (line,) in plan if "Buffers: shared" in line)
    return sum(int(part.split("=")[1]) for part in buffers.split() if "=" in part)


@pytest.mark.parametrize("sequence", ["may be asked", "may not be asked"])
def test_a_look_does_not_walk_over_what_a_held_snapshot_keeps(
    leader: PostgresLease, database_url: str, monkeypatch: pytest.MonkeyPatch, sequence: str
) -> None:
    if sequence == "may not be asked":
        monkeypatch.setattr(lane_lease, "last_id_of", lambda table: "SELECT NULL::bigint")
    with closing(psycopg2.connect(database_url)) as reader, closing(psycopg2.connect(database_url)) as writer:
        reader.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ)
        reader.cursor().execute("SELECT FROM orders")
        with writer, writer.cursor() as cursor:
            cursor.execute(MANY)
        assert len(forget_all(leader)) == 20_000
        for _ in range(3):
            assert leader.next_batch() == []
        assert pages_of_a_look(leader) < FEW_PAGES
        leader._floor.id = 0
        assert pages_of_a_look(leader) > FEW_PAGES, "the snapshot keeps nothing"


def test_an_event_whose_lower_id_commits_later_is_not_missed(leader: PostgresLease, database_url: str) -> None:
    """[I4] It has no transaction number of its own yet when its id is drawn, or has one: the lock tells of both."""
    first, late, early = (uuid.uuid4() for _ in range(3))
    with closing(psycopg2.connect(database_url)) as slow, closing(psycopg2.connect(database_url)) as fast:
        fast.autocommit = True
        fast.cursor().execute(ONE, (str(first),))
        assert forget_all(leader) == [first]
        slow.cursor().execute(ONE, (str(late),))
        fast.cursor().execute(ONE, (str(early),))
        assert forget_all(leader) == [early]
        for _ in range(3):
            assert leader.next_batch() == []
        slow.commit()
        assert forget_all(leader) == [late]


def test_a_transaction_that_is_prepared_meanwhile_is_not_missed(leader: PostgresLease, database_url: str) -> None:
    """[I4] It goes on under another name."""
    late = uuid.uuid4()
    with closing(psycopg2.connect(database_url)) as slow, closing(psycopg2.connect(database_url)) as fast:
        slow.tpc_begin(slow.xid(0, str(late), ""))
        slow.cursor().execute(ONE, (str(late),))
        with fast, fast.cursor() as cursor:
            cursor.execute(MANY)
        forget_all(leader)
        slow.tpc_prepare()
        for _ in range(3):
            assert leader.next_batch() == []
        slow.tpc_commit()
        assert forget_all(leader) == [late]


def test_ids_that_begin_anew_are_found(leader: PostgresLease, database_url: str) -> None:
    """Rows of a backup, or a sequence that somebody set back."""
    anew = uuid.uuid4()
    with closing(psycopg2.connect(database_url)) as other:
        other.autocommit = True
        other.cursor().execute(MANY)
        forget_all(leader)
        leader.next_batch()
        assert leader._floor.id == 20_000
        other.cursor().execute("ALTER TABLE outbox ALTER id RESTART")
        other.cursor().execute(ONE, (str(anew),))
        assert forget_all(leader) == [anew]
