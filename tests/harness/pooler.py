"""PgBouncer in front of a PostgreSQL server of the tests (Debian's package `pgbouncer`)."""

import subprocess
import time
from pathlib import Path
from types import TracebackType

import psycopg2

from tools.stack.ports import free_port
from tools.stack.postgres import Postgres

PROGRAM = "/usr/sbin/pgbouncer"  # not everybody's PATH has this folder
START_SECONDS = 10.0


class Pooler:
    """One PgBouncer in a mode (session, transaction, statement); everybody may come in as `postgres`."""

    def __init__(self, folder: Path, postgres: Postgres, mode: str, **settings: str | int) -> None:
        self.port = free_port()
        self._postgres = postgres
        self._folder = folder / f"pgbouncer-{self.port}"
        self._settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": mode,
            "max_client_conn": 500,
            "default_pool_size": 100,
        } | settings
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, url: str) -> str:
        """Return the address of a database by way of the pooler."""
        return url.replace(f":{self._postgres.port}/", f":{self.port}/")

    def start(self) -> None:
        """Return when it takes connections."""
        self._folder.mkdir(exist_ok=True)
        ini = self._folder / "pgbouncer.ini"
        server = f"host=127.0.0.1 port={self._postgres.port} user=postgres password=postgres"
        lines = [f"{name} = {value}" for name, value in self._settings.items()]
        ini.write_text("\n".join(["[databases]", f"* = {server}", "[pgbouncer]", *lines, ""]))
        ini.chmod(0o644)
        installation = self._postgres.installation
        with (self._folder / "log").open("ab") as log:
            self._process = installation.spawn([*installation.prefix, PROGRAM, str(ini)], log)
        give_up = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < give_up, (self._folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, and with it every connection."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url(self._postgres.url("postgres")), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def __enter__(self) -> "Pooler":
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()
