"""The folder in which the workers of one master keep their counters (utils/metric_files.py).

gunicorn's master loads this file by its path, and must not import the service. The folder lies in memory: a disk would
stop a worker that counts while the system writes its page. Whoever uses the folder holds a lock on it: the master,
its workers, and the master that SIGUSR2 starts, which goes on in it. A folder without a lock is a leftover of a master
that was killed; the next master of this account removes it.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

HANDED_OVER = "ORDER_SERVICE_METRICS"
"""The folder, for the master that SIGUSR2 starts."""
PREFIX = "order-service-metrics-"
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it has a random name, and is for this account alone
ATTEMPTS = 5


class MetricsFolder:
    """A folder that this process and its children use. `close` removes it unless another master uses it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def close(self) -> None:
        """Remove the folder, unless another master uses it. The children of this process have ended."""
        with suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def folder_of(server: Any) -> Path | None:
    """Return the folder of the master, which it makes for its first worker; None where that fails."""
    if not hasattr(server, "metrics_folder"):
        try:
            server.metrics_folder = open_folder(os.environ)
        except OSError as error:
            server.metrics_folder = None
            server.log.error("each worker counts for itself alone: %s", error)
    folder: MetricsFolder | None = server.metrics_folder
    return None if folder is None else folder.path


def hand_over(server: Any) -> None:
    """Let the new master after a SIGUSR2 go on in the folder."""
    server.cfg.env_orig[HANDED_OVER] = str(folder_of(server) or "")


def close(server: Any) -> None:
    """Remove the folder at the end of the master, unless another one uses it."""
    if getattr(server, "metrics_folder", None) is not None:
        server.metrics_folder.close()


def open_folder(environment: Mapping[str, str]) -> MetricsFolder:
    """Return the folder of the master that started this one by SIGUSR2, else a new one. Raises OSError."""
    handed_over = environment.get(HANDED_OVER) if "GUNICORN_PID" in environment else None
    if handed_over and (found := _used(Path(handed_over), fcntl.LOCK_SH)):
        return found
    base = IN_MEMORY if os.access(IN_MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    _remove_leftovers(base)
    for _ in range(ATTEMPTS):  # another master may take a folder for a leftover until it is locked
        if made := _used(Path(tempfile.mkdtemp(prefix=PREFIX, dir=base)), fcntl.LOCK_SH):
            return made
    raise OSError(f"no folder in {base} stays")


def _remove_leftovers(base: Path) -> None:
    for path in base.glob(f"{PREFIX}*"):
        if leftover := _used(path, fcntl.LOCK_EX):
            leftover.close()


def _used(path: Path, lock: int) -> MetricsFolder | None:
    """Return the folder with the lock; None where it is gone, is not ours, or others have a lock against it."""
    if not path.name.startswith(PREFIX):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_uid == os.geteuid() and os.path.samestat(os.fstat(descriptor), path.lstat()):
            return MetricsFolder(path, descriptor)
    except OSError:
        pass
    os.close(descriptor)
    return None
