"""Dead letters that a job sends again or discards, one after the other. The audit line of the job's start names them.

The service does these with its own rights, which are no operator's: it writes no audit line. The result of each is in
the job, and the letter has its resolution and its place.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from sqlalchemy import Connection, select

from app.config.config import Settings
from app.kafka import operator as kafka
from app.kafka.operator import Place, Send
from app.models.jobs import Do, JobItem
from app.models.kafka_tables import dead_letters as letters
from app.models.operator_errors import NotFound, NotPossible, OperationFailed
from app.operations import dead_letters
from app.operations.cluster import require_ours
from app.operations.job_items import mark_done, require_waiting
from app.operations.transaction import transaction
from app.utils.text import listed


def require_letters(connection: Connection, subjects: Sequence[str]) -> None:
    """Raise NotFound unless all of them are dead letters."""
    wanted = set(map(int, subjects))
    found = connection.scalars(select(letters.c.id).where(letters.c.id.in_(wanted)))
    missing = sorted(wanted - set(found))
    if missing:
        raise NotFound(f"There is no dead letter {listed(map(str, missing))}. Nothing was begun.")


@contextmanager
def replaying(settings: Settings) -> Iterator[Do]:
    """Send each letter between two transactions. A letter that was sent and is not marked so is sent once more, which
    does no harm: its bytes are recognised."""
    with closing(_Senders(settings)) as senders:
        yield partial(_replay, settings, senders)


@contextmanager
def discarding(settings: Settings) -> Iterator[Do]:
    """Discard each letter in the transaction that marks its item."""
    yield partial(_discard, settings)


class _Senders:
    """A producer for each topic, opened when it is needed. A job opens it once: that takes longer than a send."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._send: dict[str, Send] = {}

    def send(self, topic: str, key: bytes | None, value: bytes | None) -> Place:
        """Send a record, and wait until it is acknowledged. Raises as `app.kafka.operator.send`."""
        try:
            if topic not in self._send:
                opened = kafka.sending(self._settings, topic, partial(require_ours, self._settings))
                self._send[topic] = self._stack.enter_context(opened)
            return self._send[topic](key, value)
        except OperationFailed:
            self.close()  # a producer that has failed sends no more
            raise

    def close(self) -> None:
        self._send.clear()
        self._stack.close()


def _replay(settings: Settings, senders: _Senders, item: JobItem) -> None:
    letter_id = int(item.subject)
    with transaction(settings) as connection:
        require_waiting(connection, item)
        (letter,) = dead_letters.find_each(connection, [letter_id])
        dead_letters.require_replayable(letter)
    place = senders.send(letter.topic, letter.key, letter.value)
    with transaction(settings) as connection:
        mark_done(connection, item, f"Dead letter {letter_id} was sent again, as {place}.")
        dead_letters.resolve(connection, letter_id, resolution="replayed", sent_as=str(place))


def _discard(settings: Settings, item: JobItem) -> None:
    letter_id = int(item.subject)
    with transaction(settings) as connection:
        mark_done(connection, item, f"Dead letter {letter_id} was discarded.")
        (letter,) = dead_letters.find_each(connection, [letter_id], lock=True)
        dead_letters.require_discardable_row(letter)
        if letter.sent_at is None:
            refused = f"The dead letter topic refused dead letter {letter_id}, so its bytes are nowhere else"
            raise NotPossible(f"{refused}: discard it by name, and the audit keeps them.")
        resolution = letter.resolution or "discarded"
        dead_letters.resolve(connection, letter_id, resolution=resolution, key=None, value=None)
