"""A job outlives the process that does it."""

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2

from tests.harness.service import Instance
from tests.harness.stack import Stack
from tests.harness.world import wait_for

LETTERS = 60
MANY = (
    'INSERT INTO dead_letters (event_id, topic, partition, "offset", value, error, sent_at) '
    "SELECT gen_random_uuid(), %s, 0, n, ('{' || n)::bytea, 'It is no JSON', now() FROM generate_series(1, %s) AS n "
    "RETURNING id"
)


def query(stack: Stack, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(stack.database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def done(stack: Stack) -> int:
    return int(query(stack, "SELECT count(*) FROM job_items WHERE state = 'done'")[0][0])


def holder(stack: Stack, instances: list[Instance]) -> Instance:
    """The instance whose process has the job."""
    ((name,),) = query(stack, "SELECT holder FROM jobs")
    pid = int(name.split(":")[1])
    (found,) = (it for it in instances if pid in [process.pid for process in it.processes()])
    return found


def test_a_job_whose_process_is_killed_goes_on_in_another_one_and_does_each_thing_once(stack: Stack) -> None:
    """The letter at hand may be on the topic twice: its bytes are recognised."""
    instances = stack.start(2)
    ids = [str(row[0]) for row in query(stack, MANY, stack.commands_topic, LETTERS)]
    arguments = ("dead-letters", "replay", *ids, "--job", "--reason", "mended", "--yes", "--json")
    with ThreadPoolExecutor(1) as threads:  # the command may take longer to end than the job that it began
        begun = threads.submit(stack.operator, *arguments)
        wait_for(lambda: done(stack) > 5, "the first letters")
        killed = holder(stack, instances)
        killed.kill()
        assert done(stack) < LETTERS
        job_id = json.loads(begun.result())["job"]
    query(stack, "UPDATE jobs SET held_until = now() RETURNING 1")  # its lease, over sooner: nobody renews it any more
    ended = "SELECT state, outcome, attempts FROM jobs WHERE ended_at IS NOT NULL"
    ((state, outcome, attempts),) = wait_for(lambda: query(stack, ended), "the end of the job", 40)
    assert (state, outcome, attempts) == ("done", f"{LETTERS} of {LETTERS} done", 1)
    assert query(stack, "SELECT DISTINCT resolution FROM dead_letters WHERE id <= %s", LETTERS) == [("replayed",)]
    shown = json.loads(stack.operator("jobs", "show", str(job_id), "--json"))
    places = Counter(re.findall(r"as (\S+)\.", item["result"])[0] for item in shown["items"])
    assert len(places) == LETTERS
    again = "SELECT count(*) FROM dead_letters WHERE id > %s"  # they are unreadable: each that was sent comes back
    wait_for(lambda: query(stack, again, LETTERS)[0][0] in (LETTERS, LETTERS + 1), "what was sent", 20)
