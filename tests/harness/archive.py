"""A PostgreSQL server with an archive of its WAL, and its restore to a point in time."""

import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg2

from tests.harness.waiting import until
from tools.stack.errors import StackError
from tools.stack.postgres import Postgres

_COPY_SECONDS = 120


class Archive:
    """The WAL of a server from now on, and base backups of it, in a folder beside its data."""

    def __init__(self, server: Postgres) -> None:
        """Restart the server with its archive."""
        self._server = server
        self._wal = server.installation.home / "archive"
        self._wal.mkdir()
        server.installation.give(self._wal)
        self._set(archive_mode="on", archive_command=f"test ! -f {self._wal}/%f && cp %p {self._wal}/%f")
        server.stop()
        server.start()

    def base_backup(self) -> Path:
        """Return the folder of a new base backup, taken while the server works."""
        folder = self._server.installation.home / "base"
        address = f"--dbname={self._server.url('postgres')}"
        options = [f"--pgdata={folder}", address, "--checkpoint=fast", "--wal-method=none", "--no-manifest"]
        command = self._server.installation.command("pg_basebackup", *options)
        with self._server.installation.spawn(command, subprocess.PIPE) as process:
            output, _ = process.communicate(timeout=_COPY_SECONDS)
        if process.returncode != 0:
            raise StackError(f"pg_basebackup failed.\n{output.decode(errors='replace')}")
        return folder

    def now(self) -> str:
        """Return the server's time, and wait until the WAL up to it is archived."""
        with closing(psycopg2.connect(self._server.url("postgres"))) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("SELECT clock_timestamp()::text, pg_walfile_name(pg_switch_wal())")
            [(at, segment)] = cursor.fetchall()
        until(lambda: (self._wal / segment).exists(), "the WAL in the archive")
        return str(at)

    def restore(self, base: Path, at: str) -> None:
        """Put the state of that time in the place of the server's data, which is lost, and start it."""
        self._server.kill()
        shutil.rmtree(self._server.data)
        base.rename(self._server.data)
        with (self._server.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"restore_command = 'cp {self._wal}/%f %p'\n")
            settings.write(f"recovery_target_time = '{at}'\nrecovery_target_action = 'promote'\n")
        (self._server.data / "recovery.signal").touch()
        self._server.installation.give(self._server.data / "recovery.signal")
        self._server.start()
        until(lambda: not self._ask("SELECT pg_is_in_recovery()"), "the end of the recovery")

    def _set(self, **settings: str) -> None:
        for name, value in settings.items():
            self._ask(f"ALTER SYSTEM SET {name} = '{value}'")

    def _ask(self, statement: str) -> object:
        with closing(psycopg2.connect(self._server.url("postgres"))) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statement)
            return cursor.fetchall()[0][0] if cursor.description else None
