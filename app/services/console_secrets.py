"""What signs the cookies of the console: the secret of CONSOLE_SECRET_FILE, or those of the database."""

import threading

from app.database import console_secrets
from app.database.pool import Pool
from app.models.errors import DatabaseError
from app.utils.deadline import Deadline
from app.utils.secret_files import read_for

CALL_SECONDS = 1.0
FRESH_SECONDS = 60.0


class ConsoleSecrets:
    """Knows the secrets, and goes on with those that it knows while the database is away."""

    def __init__(self, pool: Pool, file: str) -> None:
        """`file`: the path of CONSOLE_SECRET_FILE, empty if there is none. Nothing is read yet."""
        self._pool = pool
        self._file = file
        self._known: list[bytes] = []
        self._until = Deadline(0)
        self._lock = threading.Lock()

    def valid(self) -> list[bytes]:
        """Return the secrets, the newest last: it signs, all verify.

        Blocks for CALL_SECONDS at the longest, once in FRESH_SECONDS; call it from a thread. Raises DatabaseTrouble
        until they were read once, and SecretUnusable.
        """
        if self._file:
            return [read_for("CONSOLE_SECRET_FILE", self._file).encode()]
        with self._lock:
            if self._until.passed:
                self._refresh()
            return self._known

    def _refresh(self) -> None:
        try:
            self._known = console_secrets.keep(self._pool, Deadline(CALL_SECONDS))
            self._until = Deadline(FRESH_SECONDS)
        except DatabaseError:
            self._until = Deadline(CALL_SECONDS)
            if not self._known:
                raise
