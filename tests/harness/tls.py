"""Debian's PostgreSQL behind TLS, with certificates of an authority made here (the wheel's PostgreSQL has no TLS)."""

import subprocess
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import trustme

from tools.stack.installation import Installation, find_installation
from tools.stack.postgres import DATABASE, Postgres

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
CERTIFIED = "certified"
"""The user that is let in by a certificate instead of a password."""
_RELOAD_SECONDS = 10


class Authority:
    """An authority that issues certificates, with its own certificate as a file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._ca = trustme.CA()
        self._folder = folder
        self.file = folder / "authority.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str, host: str = "localhost", days: float = 30) -> tuple[Path, Path]:
        """Write a certificate and its key as `name`.pem and `name`.key, replacing older ones; below 0 days: expired."""
        ends = datetime.now(UTC) + timedelta(days=days)
        made = self._ca.issue_cert(host, common_name=name, not_before=ends - timedelta(days=60), not_after=ends)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        key.touch(0o600)
        key.write_bytes(made.private_key_pem.bytes())
        return certificate, key


class TlsPostgres(Postgres):
    """Takes TLS connections to `localhost` only: with a password (SCRAM), and of `certified` with a certificate."""

    let_in = f"hostssl all {CERTIFIED} all cert\nhostssl all all all scram-sha-256\n"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authority = Authority(self.folder / "authority")

    def url(self, database: str = DATABASE, **parameters: object) -> str:
        """Return the address of a database with `sslmode=verify-full` unless the parameters say otherwise."""
        given = {"sslmode": "verify-full", "sslrootcert": self.authority.file, **parameters}
        query = "&".join(f"{name}={quote(str(value), safe='/')}" for name, value in given.items() if value is not None)
        return f"{super().url(database).replace('127.0.0.1', 'localhost')}?{query}"

    @cached_property
    def installation(self) -> Installation:
        """Debian's programs, whatever PG_BIN says."""
        assert (PROGRAMS / "postgres").exists(), "Debian's PostgreSQL is missing: apt-get install postgresql-15"
        self.folder.mkdir(parents=True, exist_ok=True)
        return find_installation(self.folder, PROGRAMS)

    def present(self, certificate: Path, key: Path) -> None:
        """From now on the server shows this certificate to new connections."""
        self._take(certificate, key)
        command = self.installation.command("pg_ctl", "reload", f"--pgdata={self.data}")
        with self.installation.spawn(command, subprocess.PIPE) as process:
            output, _ = process.communicate(timeout=_RELOAD_SECONDS)
        assert process.returncode == 0, output.decode(errors="replace")

    def _prepare(self) -> list[str]:
        command = super()._prepare()
        self._take(*self.authority.issue("server"))
        self._give("ca.pem", self.authority.file)
        (self.data / "pg_hba.conf").write_text(self.let_in)
        settings = {"ssl": "on", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key", "ssl_ca_file": "ca.pem"}
        return command + [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _take(self, certificate: Path, key: Path) -> None:
        self._give("server.pem", certificate)
        self._give("server.key", key)

    def _give(self, name: str, source: Path) -> None:
        target = self.data / name
        target.touch(0o600)
        target.write_bytes(source.read_bytes())
        self.installation.give(target)
