"""Row 35: what is broken on the service's side is never taken for a fault of the commands."""

import time
from itertools import cycle

from sqlalchemy import make_url

from app.database import schema
from tests.faults.rows import row
from tests.faults.rows.broker import ends
from tests.faults.trial import Trial
from tests.harness.found import query
from tests.harness.waiting import until

ROLE = "few"
HEALS_SECONDS = 10.0
RINGS_SECONDS = 10.0
RAISES = """
CREATE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE 'broken' USING ERRCODE = TG_ARGV[0]; END $$
"""
FAULTS = [
    (
        f"REVOKE INSERT ON order_changes FROM {ROLE}",
        f"GRANT INSERT ON order_changes TO {ROLE}",
        "42501",
    ),
    *(
        (
            f"CREATE TRIGGER breaks BEFORE INSERT ON {table} EXECUTE FUNCTION breaks('{code}')",
            f"DROP TRIGGER breaks ON {table}",
            code,
        )
        for table, code in (("order_changes", "58030"), ("outbox", "53100"), ("saga_orders", "XX001"))
    ),
    (
        "ALTER TABLE order_changes RENAME COLUMN kind TO kinds",
        "ALTER TABLE order_changes RENAME COLUMN kinds TO kind",
        "42703",
    ),
]


def await_alarm(trial: Trial, code: str) -> None:
    """Wait for an alarm that names the code."""
    until(lambda: [it for it in trial.stack.alarms() if code in it], f"an alarm with {code}")


@row(35, "the service's own trouble, met by commands", seconds=90.0, quick=(30.0, 3))
def own_trouble(trial: Trial) -> None:
    """A right, an I/O error, a full disk, a damaged table, a column that is missing."""
    as_a_role_of_its_own(trial)
    rung, healed = [], []
    with trial.under_load():
        for broken, mended, code in cycle(FAULTS):
            if not trial.lasts():
                break
            trial.query(broken)
            started = time.monotonic()
            await_alarm(trial, code)
            rung.append(time.monotonic() - started)
            trial.strike()
            trial.pause(0.5)
            trial.query(mended)
            healed.append(until_handled(trial))
            until(lambda: not trial.stack.alarms(), "the end of the alarm")
    trial.own(f"alarm with the reason after {max(rung):.1f} s at the longest", max(rung) <= RINGS_SECONDS)
    trial.own(f"handled {max(healed):.1f} s after the mend at the longest", max(healed) <= HEALS_SECONDS)
    trial.settle()
    [(given_up,)] = trial.query("SELECT count(*) FROM given_up_commands")
    trial.own(f"{given_up} given up", given_up == 0)


def as_a_role_of_its_own(trial: Trial) -> None:
    """Make the instances connect as a role that owns nothing: a superuser may do anything."""
    stack = trial.stack
    schema.migrate(stack.database_url.replace("postgresql://", "postgresql+psycopg2://"))
    trial.query(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'")
    trial.query(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}")
    trial.query(RAISES)
    url = make_url(stack.database_url).set(username=ROLE, password=ROLE)
    stack.added |= {"DATABASE_URL": url.render_as_string(hide_password=False), "SCHEMA": "check"}


def until_handled(trial: Trial) -> float:
    """Block until what is in the log now was handled; return the seconds."""
    started = time.monotonic()
    last = {place.partition: end for place, end in ends(trial.stack).items()}

    def handled() -> bool:
        stored = dict(query(trial.stack.database_url, "SELECT partition, next_offset FROM consumer_offsets"))
        return all(stored.get(partition, 0) >= end for partition, end in last.items())

    until(handled, "the commands that waited")
    return time.monotonic() - started
