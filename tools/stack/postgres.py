"""PostgreSQL (18, or that of PG_BIN) on 127.0.0.1: superuser postgres, password postgres, database order_db."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Literal

import psutil
import psycopg2
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier

from tools.stack.errors import StackError
from tools.stack.installation import Installation, find_installation
from tools.stack.server import Server, wait_gone

DATABASE = "order_db"
_PASSWORD = "postgres"  # noqa: S105 - known, on 127.0.0.1 (SECURITY.md)
_INITDB_SECONDS = 60
_DEATH_SECONDS = 10
_STOPS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Postgres(Server):
    """One PostgreSQL server. Committed work survives `kill`: fsync is on."""

    name = "PostgreSQL"
    start_seconds = 60.0
    stop_seconds = 15.0

    def url(self, database: str = DATABASE) -> str:
        """Return the address of a database, as DATABASE_URL takes it."""
        return f"postgresql://postgres:{_PASSWORD}@127.0.0.1:{self.port}/{database}"

    def await_answer(self) -> None:
        """Do what Server.await_answer does; afterwards the database `order_db` exists."""
        super().await_answer()
        with self._maintenance() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            missing = cursor.fetchone() is None
        if missing:
            self.create_database(DATABASE)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop. `fast` rolls back open transactions and ends cleanly; `immediate` crashes: the next start recovers."""
        self._stop(_STOPS[mode])

    def create_database(self, name: str) -> str:
        """Create a database and return its address. Raises psycopg2.Error when it exists."""
        with self._maintenance() as cursor:
            cursor.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, and disconnect its sessions."""
        with self._maintenance() as cursor:
            cursor.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))

    @cached_property
    def installation(self) -> Installation:
        """The programs and the account; `installation.command("pg_basebackup", …)` runs other programs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return find_installation(self.folder)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.installation.home / self.installation.data_name

    def _prepare(self) -> list[str]:
        if not self.data.exists():
            self._initdb()
        self._kill_orphans()
        self._disarm_stale_lock()
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "max_prepared_transactions": 4,
            "fsync": "on",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self.installation.command("postgres", "-D", str(self.data), *options)

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return self.installation.spawn(command, log)

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _initdb(self) -> None:
        """Make the data in a folder beside, renamed at the end: a killed initdb leaves nothing that looks like data."""
        home = self.installation.home
        fresh, password = home / "data.new", home / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        password.write_text(_PASSWORD)
        self.installation.give(password)
        options = [
            "--username=postgres",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
        ]
        command = self.installation.command("initdb", f"--pgdata={fresh}", *options)
        with self.installation.spawn(command, subprocess.PIPE) as process:
            output, _ = process.communicate(timeout=_INITDB_SECONDS)
        password.unlink()
        if process.returncode != 0:
            raise StackError(f"initdb failed.\n{output.decode(errors='replace')}")
        fresh.rename(self.data)

    def _kill_orphans(self) -> None:
        """Kill processes that outlived a killed postmaster: they block the next start, frozen ones for ever."""
        orphans = [
            process
            for process in psutil.process_iter(["name", "cwd"])
            if process.info["name"] == "postgres" and process.info["cwd"] == str(self.data)
        ]
        for process in orphans:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        wait_gone(orphans, _DEATH_SECONDS)

    def _disarm_stale_lock(self) -> None:
        """Write this process's id into the lock file: PostgreSQL accepts an id there that only its parent has.

        The file stays, because PostgreSQL finds processes that still use the shared memory by another id in the file.
        """
        lock = self.data / "postmaster.pid"
        if lock.exists():
            _, *rest = lock.read_text().splitlines(keepends=True)
            lock.write_text("".join([f"{os.getpid()}\n", *rest]))

    @contextmanager
    def _maintenance(self) -> Iterator[Cursor]:
        connection = psycopg2.connect(self.url("postgres"), connect_timeout=2)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()
