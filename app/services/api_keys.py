"""The ring of API keys: all that are valid, in the memory of each process.

A request looks its key up here and asks no database. One thread reads table and file about every second, so a revoked
key is refused within a few seconds by every process. While the database is away the ring keeps what it knows: nothing
can be changed then anyway. Until the table was read once, a key that is not in the file is answered 503, not 401.
"""

import hmac
import logging
import threading
import time
from collections.abc import Callable

from app.database.api_keys import ApiKeyTable
from app.models.api_keys import ApiKey, digest_of, id_in, is_whole
from app.models.callers import Caller
from app.models.errors import DatabaseAway, DatabaseError, Unauthenticated
from app.utils.alarms import Alarms
from app.utils.deadline import Deadline
from app.utils.logging import Repeats
from app.utils.secret_files import SecretUnusable, read_text
from app.utils.supervisor import Beat
from app.wire import key_file

log = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0
FIRST_SECONDS = 0.1  # between two looks until the table was read once
NOTE_SECONDS = 60.0  # between two writings of which keys were used
FILE_ALARM = "api_keys_file"

_UNKNOWN = "The API key is not known, or was revoked"


class ApiKeys:
    """Verifies keys; `run` is the work of the thread that keeps the ring."""

    def __init__(self, table: ApiKeyTable, file: str, alarms: Alarms) -> None:
        """`file`: the path of the file of keys, empty if there is none. Nothing is read yet."""
        self._table = table
        self._file = file
        self._alarms = alarms
        self._keys: dict[str, ApiKey] = {}
        self._in_table: list[ApiKey] | None = None
        self._in_file: list[ApiKey] = []
        self._read: str | None = None
        self._used: set[str] = set()
        self._noted: dict[str, int] = {}  # by id, the hour in which its use was stored last
        self._next_noting = Deadline(0)
        self._was_read = threading.Event()
        self._repeats = Repeats()

    @property
    def is_known(self) -> bool:
        """Whether the table was read once."""
        return self._was_read.is_set()

    def wait(self, seconds: float) -> None:
        """Wait until the table was read once, or so long: a process that serves before answers 503."""
        self._was_read.wait(seconds)

    def verify(self, credential: str) -> Caller:
        """Return whose key it is. Raises Unauthenticated, and DatabaseAway until the table was read once."""
        key = self._keys.get(id_in(credential))
        if key is None or not hmac.compare_digest(key.digest, digest_of(credential)):
            raise self._refusal(credential, is_known=key is not None)
        if key.expires_at is not None and key.expires_at <= time.time():
            raise Unauthenticated("The API key has expired")
        self._used.add(key.id)
        return key.caller

    def holder(self, key_id: str) -> ApiKey:
        """Return the key of that id. Raises as `verify`: a key that was revoked or has expired is not valid."""
        key = self._keys.get(key_id)
        if key is None:
            raise Unauthenticated(_UNKNOWN) if self.is_known else DatabaseAway("The API keys are not known yet")
        if key.expires_at is not None and key.expires_at <= time.time():
            raise Unauthenticated("The API key has expired")
        return key

    def run(self, stop: threading.Event, beat: Beat, ready: Callable[[], bool]) -> None:
        """Keep the ring until `stop`. The table is read whenever the database is `ready`."""
        while not stop.is_set():
            beat()
            is_ready = ready()
            self.refresh(with_table=is_ready)
            if is_ready and self._next_noting.passed:
                self.note_use()
                self._next_noting = Deadline(NOTE_SECONDS)
            stop.wait(REFRESH_SECONDS if self.is_known else FIRST_SECONDS)

    def refresh(self, *, with_table: bool = True) -> None:
        """Read file and table anew. Where one cannot be read, its keys stay. Blocks for some seconds at the longest."""
        if self._file:
            self._read_file()
        if with_table:
            try:
                self._in_table = self._table.valid()
            except DatabaseError as error:
                self._repeats.say(log, logging.INFO, f"API keys stay as they are: {error.reason}")
        self._keys = {key.id: key for key in (*(self._in_table or ()), *self._in_file)}
        if self._in_table is not None:
            self._was_read.set()

    def note_use(self) -> None:
        """Store which keys were used in this hour. Where that fails, it is tried again a minute later."""
        hour = int(time.time() // 3600)
        known = {key.id for key in self._in_table or ()}
        used = {key_id for key_id in tuple(self._used) if key_id in known and self._noted.get(key_id) != hour}
        self._used.difference_update(tuple(self._used - used))
        if not used:
            return
        try:
            self._table.note_use(used)
        except DatabaseError as error:
            self._repeats.say(log, logging.INFO, f"the use of API keys is not stored: {error.reason}")
            return
        self._used.difference_update(used)
        self._noted = {key_id: at for key_id, at in self._noted.items() if key_id in known} | dict.fromkeys(used, hour)

    def _refusal(self, credential: str, *, is_known: bool) -> Exception:
        """Return why a credential is no valid key. Only a refusal pays for looking at the key's checksum."""
        if not is_whole(credential):
            return Unauthenticated("The API key is not whole: it was copied wrongly")
        if not is_known and not self.is_known:
            return DatabaseAway("The API keys are not known yet")
        return Unauthenticated(_UNKNOWN)

    def _read_file(self) -> None:
        """Take over a file that has changed. Ring while it cannot be used: the keys of its last good content stay."""
        try:
            text = read_text(self._file)
            if text != self._read:
                self._in_file = key_file.parse(text)
                self._read = text
        except (SecretUnusable, ValueError) as error:
            sentence = f"API_KEYS_FILE cannot be used, its keys stay as they were: {error}"
            self._repeats.say(log, logging.WARNING, sentence)
            self._alarms.ring(FILE_ALARM, sentence)
        else:
            self._alarms.clear(FILE_ALARM)
