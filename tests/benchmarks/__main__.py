"""python -m tests.benchmarks: measures this service beside its peers, and prints and writes what came of it."""

import argparse
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from tests.benchmarks.before import COMMIT
from tests.benchmarks.bench import Bench, Options, new_bench
from tests.benchmarks.cases import Case, load_cases
from tests.benchmarks.check import Wrong
from tests.benchmarks.database import Database
from tests.benchmarks.environment import NotInstalled, node_versions, peers_python, version_of
from tests.benchmarks.load import CONNECTIONS, wrk
from tests.benchmarks.pgbench import OPTIONS as PGBENCH
from tests.benchmarks.servers import COMMANDS, OURS, TUNING, WORKERS
from tests.benchmarks.table import Result, ratio_table, sample_table, target_table
from tests.harness.service import CHECKOUT
from tests.harness.stopping import stop_in_order
from tools.sections import when_and_where, write_section
from tools.stack.errors import StackError
from tools.stack.jars import VERSION as KAFKA

DOCUMENT = CHECKOUT / "docs" / "performance.md"
IMAGES = CHECKOUT / "docs" / "images"
SHARED_PACKAGES = ("flask", "gunicorn", "sqlalchemy", "psycopg2-binary", "kafka-python")
PEERS_PACKAGES = ("flask-sqlalchemy", "fastapi", "litestar", "uvicorn", "uvloop", "httptools", "asyncpg")


def main() -> int:
    """Run the cases that are asked for; exit code 1, with a sentence, where an answer was wrong or an event missing."""
    stop_in_order()
    options = _options()
    cases = load_cases()
    chosen = [cases[name] for name in options.case or [it.name for it in cases.values() if not it.by_name]]
    amount = Options(**{field.name: getattr(options, field.name) for field in fields(Options)})
    started = time.monotonic()
    try:
        python = peers_python()
        with new_bench(amount) as bench:
            about = configuration(bench, python)
            print("\n".join(about), flush=True)
            results = [_run(it, bench) for it in chosen]
    except (Wrong, NotInstalled, StackError, TimeoutError) as error:
        print(f"The benchmark failed: {error}")
        return 1
    whole = Result()
    for result in results:
        whole.add(result)
    took = f"{(time.monotonic() - started) / 60:.0f} minutes"
    text = f"{when_and_where()}; {amount.rounds} rounds of {amount.seconds:g} s, {took}."
    sections = whole.sections | sections_of(whole, about, amount.orders)
    print(f"\n{text}\n\n" + "\n\n".join("\n".join(lines) for lines in sections.values()))
    if options.write:
        write(text, sections, chosen, amount)
    if options.write and amount == Options():
        for name, picture in whole.pictures.items():
            (IMAGES / name).write_text(picture)
    return 0


def _run(it: Case, bench: Bench) -> Result:
    print(f"\n{it.name} ...", flush=True)
    started = time.monotonic()
    try:
        result = it.run(bench)
    finally:
        bench.clear()
    print("\n".join([*ratio_table(result.rows, bench.options.orders), *sample_table(result.samples)]))
    print("".join(f"left out: {line}\n" for line in left_out_lines(result)), end="")
    print(f"{time.monotonic() - started:.0f} s", flush=True)
    return result


def sections_of(whole: Result, about: Sequence[str], orders: int) -> dict[str, list[str]]:
    """Return the sections of the document that come of all cases together, none where none has a target."""
    if not whole.rows and not whole.left_out:
        return {}
    return {
        "targets": target_table(whole, orders),
        "figures": sample_table(whole.samples),
        "configuration": [*about, *(f"- left out: {line}" for line in left_out_lines(whole))],
    }


def left_out_lines(result: Result) -> list[str]:
    """Return why targets were not measured, a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for target, reason in result.left_out.items():
        reasons.setdefault(reason, []).append(target)
    return [f"{', '.join(targets)}: {reason}" for reason, targets in reasons.items()]


def write(text: str, sections: dict[str, list[str]], chosen: Sequence[Case], amount: Options) -> None:
    """Write what this run may speak for: the tables of a whole run, and the sections that a case has of its own."""
    by_name = [it for it in load_cases().values() if it.by_name]
    whole = len(chosen) >= len(load_cases()) - len(by_name)
    for name, lines in sections.items():
        if amount == Options() and (whole or name in [it.name for it in by_name]):
            write_section(DOCUMENT, name, [text, "", *lines] if name != "configuration" else lines)


def configuration(bench: Bench, python: Path) -> list[str]:
    """Return what runs: versions, and how each part is set up."""
    versions = [f"{name} {version_of(name, python)}" for name in (*SHARED_PACKAGES, *PEERS_PACKAGES)]
    shown = ("server_version", "fsync", "synchronous_commit", *TUNING)
    database = Database(bench.postgres.url())
    server, *settings = [f"{name} = {database.rows(f'SHOW {name}')[0][0]}" for name in shown]
    database.close()
    named = ("web_concurrency", "database_pool", "consumer_batch", "relay_batch", "relay_poll_ms")
    ours = [f"{name.upper()}={getattr(OURS, name)}" for name in named]
    client = f"wrk, {CONNECTIONS} connections" if wrk() else f"the client of this package, {CONNECTIONS} connections"
    return [
        f"- Python {platform.python_version()}, PostgreSQL {server.split()[2]}, Apache Kafka {KAFKA}",
        f"- {', '.join(versions)}",
        f"- {node_versions()}",
        f"- load: {client}; pgbench {' '.join(PGBENCH)}",
        f"- PostgreSQL: {', '.join(settings)}",
        "- Apache Kafka: one node, `acks=all`, topics of 3 partitions, as `tools/stack/broker.py` starts it",
        f"- this service: `gunicorn -c gunicorn.conf.py run:app` with its defaults: {', '.join(ours)}",
        f"- beside services with an event loop: `WEB_CONCURRENCY={WORKERS}`, and as many processes of each of them",
        f"- the version before: commit {COMMIT}, `gunicorn -c gunicorn.conf.py run:app` with its defaults",
        *(f"- {kind}: `{command}`" for kind, command in COMMANDS.items()),
        f"- each peer: a pool of {OURS.database_pool} connections for each of its processes, none above it; relay "
        f"batches of {OURS.relay_batch}",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description=__doc__)
    cases = load_cases()
    parser.add_argument("--case", type=lambda text: text.split(","), help=f"some of {', '.join(cases)}")
    for field in fields(Options):
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    parser.add_argument("--write", action="store_true", help=f"write to docs/{DOCUMENT.name} what was measured in full")
    options = parser.parse_args()
    unknown = set(options.case or ()) - cases.keys()
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
