"""The servers of a run: PostgreSQL, Apache Kafka, this service as its users start it, and the peers."""

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import psutil
from psycopg2.sql import SQL, Identifier

from app.config.config import Settings
from app.database import schema
from tests.benchmarks.environment import FOLDER, node_modules, peers_python
from tests.harness.service import CHECKOUT
from tools.stack.broker import Broker
from tools.stack.postgres import Postgres
from tools.stack.server import Server

TUNING = {
    "shared_buffers": "1GB",
    "effective_cache_size": "8GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "random_page_cost": "1.1",
}
TEMPLATE = "at_head"
OURS = Settings.load({})
"""The service's defaults: the peers get as many connections and rows in a batch."""

WORKERS = 2
"""Processes of each peer with an event loop, and of this service beside them: one for each core of a small machine."""
THREADS = 32  # of each peer with threads: as many as the load has connections

_GUNICORN = (
    f"-m gunicorn --worker-class gthread --workers {OURS.web_concurrency} --threads {THREADS} "
    "--keep-alive 75 --no-control-socket --log-level warning --bind 127.0.0.1:{port} tests.benchmarks.peers."
)
_UVICORN = (
    f"-m uvicorn --workers {WORKERS} --loop uvloop --http httptools --no-access-log --log-level warning "
    "--timeout-keep-alive 75 --host 127.0.0.1 --port {port} tests.benchmarks.peers."
)
FASTIFY = "fastify_pg"
COMMANDS = {
    "usual_way": f"python {_GUNICORN}usual_way:app",
    "usual_outbox": f"python {_GUNICORN}usual_outbox:app",
    "fastapi_two_statements": f"python {_UVICORN}fastapi_asyncpg:two_statements",
    "fastapi_one_statement": f"python {_UVICORN}fastapi_asyncpg:one_statement",
    "litestar_asyncpg": f"python {_UVICORN}litestar_asyncpg:app",
    FASTIFY: "node tests/benchmarks/peers/fastify/server.js",
    "relay": "python -m tests.benchmarks.peers.relay",
}
"""How each peer is started."""
WITHOUT_PORT = ("relay",)


class Seen(Server):
    """A server whose processes can be measured."""

    def processes(self) -> list[psutil.Process]:
        """Its first process and all that descend from it."""
        return self._tree()


class SeenBroker(Seen, Broker):
    """Apache Kafka as the local stack starts it."""


class TunedPostgres(Seen, Postgres):
    """PostgreSQL with the settings of this run, the same for all: durable (fsync is on), with memory."""

    def make_template(self) -> None:
        """Make the database that the others are copies of: empty, at head."""
        schema.migrate(Settings.load({"DATABASE_URL": self.create_database(TEMPLATE)}).database_url)

    def copy_template(self, name: str) -> str:
        """Create a database at head and return its address."""
        with self._maintenance() as cursor:
            cursor.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(TEMPLATE)))
        return self.url(name)

    def _prepare(self) -> list[str]:
        return [*super()._prepare(), *(part for name, value in TUNING.items() for part in ("-c", f"{name}={value}"))]


class Peer(Seen):
    """One of the other services; `start` returns when its `/health` answers, or at once where it has no port.

    `start` raises LeftOut where this machine has not got what it needs.
    """

    start_seconds = 90.0
    stop_seconds = 20.0

    def __init__(self, folder: Path, kind: str, settings: Mapping[str, str]) -> None:
        super().__init__(folder)
        self.name = f"the peer {kind}"
        self._kind = kind
        self._settings = dict(settings)

    def _prepare(self) -> list[str]:
        program, *arguments = COMMANDS[self._kind].format(port=self.port).split()
        if self._kind == FASTIFY:
            self._settings["NODE_PATH"] = str(node_modules())
            return [program, *(str(CHECKOUT / argument) for argument in arguments)]
        return [str(peers_python()), *arguments]

    def _environment(self) -> Mapping[str, str]:
        tuned = {"DATABASE_POOL": str(OURS.database_pool), "RELAY_BATCH": str(OURS.relay_batch)}
        tuned |= {"PORT": str(self.port), "WORKERS": str(WORKERS), "PYTHONPATH": str(CHECKOUT)}
        return os.environ | self._settings | tuned

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=FOLDER,  # in the checkout gunicorn would find this service's configuration
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=self._environment(),
            start_new_session=True,
        )

    def _answers(self) -> bool:
        if self._kind in WITHOUT_PORT:
            return True
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False
