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
from app.models import schema
from tests.benchmarks.environment import FOLDER, peers_python
from tests.faults.service import CHECKOUT
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
"""The service's defaults: the peers get as many threads, connections and rows in a batch."""

_GUNICORN = (
    f"-m gunicorn --worker-class gthread --workers {OURS.web_concurrency} --threads {OURS.web_threads} "
    "--keep-alive 75 --no-control-socket --log-level warning --bind 127.0.0.1:{port} tests.benchmarks.peers."
)
COMMANDS = {
    "usual_way": f"{_GUNICORN}usual_way:app",
    "usual_outbox": f"{_GUNICORN}usual_outbox:app",
    "fastapi_asyncpg": "-m uvicorn --workers 1 --loop uvloop --http httptools --no-access-log --log-level warning "
    "--host 127.0.0.1 --port {port} tests.benchmarks.peers.fastapi_asyncpg:app",
    "relay": "-m tests.benchmarks.peers.relay",
}
"""How each peer is started, after its interpreter."""
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
    """One of the other services; `start` returns when its `/health` answers, or at once where it has no port."""

    start_seconds = 40.0
    stop_seconds = 20.0

    def __init__(self, folder: Path, kind: str, settings: Mapping[str, str]) -> None:
        super().__init__(folder)
        self.name = f"the peer {kind}"
        self._kind = kind
        self._settings = settings

    def _prepare(self) -> list[str]:
        return [str(peers_python()), *COMMANDS[self._kind].format(port=self.port).split()]

    def _environment(self) -> Mapping[str, str]:
        tuned = {"DATABASE_POOL": str(OURS.database_pool), "RELAY_BATCH": str(OURS.relay_batch)}
        return os.environ | self._settings | tuned | {"PYTHONPATH": str(CHECKOUT)}

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
