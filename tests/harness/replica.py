"""A streaming replica of a PostgreSQL server of the tests, to be promoted."""

import subprocess
from contextlib import closing
from pathlib import Path

import psycopg2

from tests.harness.waiting import until
from tools.stack.errors import StackError
from tools.stack.postgres import Postgres

_COPY_SECONDS = 60


class Replica(Postgres):
    """Follows a running primary from its first start on; read-only until it is promoted."""

    def __init__(self, folder: Path, primary: Postgres) -> None:
        super().__init__(folder)
        self._primary = primary

    def promote(self) -> None:
        """Return when it takes changes."""
        with closing(psycopg2.connect(self.url("postgres"))) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("SELECT pg_promote(true, 30)")

    def be_synchronous(self) -> None:
        """From now on the primary confirms nothing that the replica does not have on its disk."""
        with closing(psycopg2.connect(self._primary.url("postgres"))) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            cursor.execute("SELECT pg_reload_conf()")

            def followed() -> bool:
                cursor.execute("SELECT sync_state FROM pg_stat_replication")
                return cursor.fetchall() == [("sync",)]

            until(followed, "a synchronous replica", 20)

    def both(self, url: str) -> str:
        """Return the address of a database on whichever of the two takes changes, as libpq writes it."""
        place = f"127.0.0.1:{self._primary.port}"
        return url.replace(place, f"{place},127.0.0.1:{self.port}") + "?target_session_attrs=read-write"

    def _initdb(self) -> None:
        options = [f"--pgdata={self.data}", f"--dbname={self._primary.url('postgres')}", "--write-recovery-conf"]
        command = self.installation.command("pg_basebackup", *options, "--checkpoint=fast", "--wal-method=stream")
        with self.installation.spawn(command, subprocess.PIPE) as process:
            output, _ = process.communicate(timeout=_COPY_SECONDS)
        if process.returncode != 0:
            raise StackError(f"pg_basebackup failed.\n{output.decode(errors='replace')}")
