"""`check`: does everything that is stored agree?"""

from collections.abc import Sequence

import click
from flask import current_app
from flask.cli import with_appcontext
from kafka.errors import KafkaError

from app.cli import consistency, waiting
from app.cli.alarms import read_alarms
from app.cli.consistency import Finding
from app.cli.database import transaction
from app.cli.offsets import Stored, disagreement, our_topic, read_stored
from app.cli.output import Failure, json_option, print_json, printable
from app.config.config import Settings
from app.database.database import Database
from app.database.pool import Pool
from app.database.same_database import AnotherDatabase, require_same
from app.models.errors import DatabaseTrouble

SECONDS = click.IntRange(1, 86_400)


@click.command("check")
@click.option("--late", type=SECONDS, default=60, show_default=True, help="Seconds after which an unsent row is late.")
@click.option("--deadline", type=SECONDS, default=120, show_default=True, help="Seconds that the reading may take.")
@json_option
@click.pass_context
@with_appcontext
def check(context: click.Context, late: int, deadline: int, as_json: bool) -> None:
    """Compare all that is stored, and say what is wrong.

    That is orders, history, outbox, sagas, counts, dead letters, and the offsets with the log. What keeps commands
    or events waiting is said too: open alarms of the service, and what the broker tells.

    Exit code 1 when something is. It only reads, at one instant, while the service runs; where the broker or
    the topic is away, the offsets are left out and that is said.

    \b
    Examples:
      flask orders check
      flask orders check --deadline 600 --json | jq '.findings[].check'
    """
    settings: Settings = current_app.extensions["settings"]
    with transaction(deadline, snapshot=True) as connection:
        compared = consistency.count(connection)
        found = consistency.examine(connection, late)
        stored = read_stored(connection, settings.commands_topic)
        alarms = read_alarms(connection, ended=False)
    found += [Finding("alarm", 1, it["sentence"], (f"alarm {it['name']}",)) for it in alarms if it["holders"]]
    notes = [f"Not acknowledged yet: {it['name']}: {it['sentence']}" for it in alarms if not it["holders"]]
    try:
        found += _of_addresses(settings)
    except DatabaseTrouble as trouble:
        notes.append(f"DATABASE_URL was not compared with WORKER_DATABASE_URL: {trouble.reason}")
    try:
        found += _of_offsets(settings, stored)
        found += waiting.findings(settings, stored, late)
    except Failure as error:
        notes.append(f"The offsets were not compared with the log: {error.message}")
    except KafkaError as error:
        notes.append(f"Kafka was not asked for what waits: {type(error).__name__}")
    if as_json:
        print_json({"ok": not found, "findings": found, "notes": notes, "compared": compared})
    else:
        _print(found, notes)
        click.echo(f"Compared: {', '.join(f'{rows} {table}' for table, rows in compared.items())}.")
    context.exit(1 if found else 0)


def _of_addresses(settings: Settings) -> Sequence[Finding]:
    if not settings.worker_database_url:
        return []
    workers, callers = Database(settings.worker_database_url), Database(settings.database_url)
    try:
        require_same(Pool(workers, 1), Pool(callers, 1))
    except AnotherDatabase as other:
        return [Finding("another_database", 1, str(other), ())]
    finally:
        workers.drop_idle()
        callers.drop_idle()
    return []


def _of_offsets(settings: Settings, stored: Stored) -> Sequence[Finding]:
    """Compare with the log as it is after the tables were read: it only grows meanwhile."""
    topic = our_topic(settings)
    wrong = {partition: disagreement(partition, offset, topic) for partition, offset in stored.items()}
    return [
        Finding("offset", 1, sentence, (f"{settings.commands_topic}/{partition}",))
        for partition, sentence in wrong.items()
        if sentence is not None
    ]


def _print(found: Sequence[Finding], notes: Sequence[str]) -> None:
    for line in [*map(str, found), *notes]:
        click.echo(printable(line))
    if not found:
        click.echo("Nothing is wrong.")
