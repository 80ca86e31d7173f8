"""The use cases of the HTTP door: decide, commit, answer. Kafka's batches are in command_service.py, same rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from app.database.answers import KeyTaken, raise_if_taken, waiting
from app.database.orders import OrderStore, Write
from app.database.pages import Listed, Page
from app.database.pool import Pool, Session
from app.models import rules
from app.models.commands import AcceptOrder, ClearRunner, Command, CreateOrder, OrderCommand
from app.models.errors import DatabaseBusy, DatabaseTrouble, KeyInUse, KeyReused, OutcomeUnknown, ValuesRefused
from app.models.order import OrderState
from app.models.rules import Change, Decision, Refusal, Unchanged
from app.models.writes import ChangeSource, HttpAnswer, IdempotencyKey
from app.utils.deadline import Deadline
from app.utils.ids import new_id
from app.utils.limits import ASKING_SECONDS, KEY_SECONDS
from app.utils.metrics import LOST_RACES
from app.utils.turns import Turns
from app.wire.events import http_event

TRIES_WITHOUT_LOCK = 3
ORDER_TAKEN = b'"code":"%s"' % rules.ORDER_TAKEN.encode()  # in a stored answer: its text is ours

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time as the orders hold it."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks, until when, under which key, and how a decision looks to its caller."""

    origin: ChangeSource
    deadline: Deadline
    key: IdempotencyKey | None
    present: Callable[[Decision], HttpAnswer]


class OrderService:
    """Reads and changes orders. Every method blocks until the call's deadline at the longest."""

    def __init__(self, pool: Pool, store: OrderStore, on_event: Callable[[], None], clock: Clock = utc_now) -> None:
        """`on_event` is called after each commit that put an event into the outbox; it must not block."""
        self._pool = pool
        self._store = store
        self._on_event = on_event
        self._clock = clock
        self._turns = Turns()

    def get(self, order_id: str, deadline: Deadline) -> OrderState | None:
        """Return the order as it is now, or None. Raises DatabaseTrouble."""
        return self._store.load(order_id, deadline)

    def page(self, filters: dict[str, str], page: int, limit: int, deadline: Deadline) -> Page:
        """Return a page of the orders that match, newest first, without large texts. Raises DatabaseTrouble."""
        offset = min((page - 1) * limit, 2**62)  # past any end, and still a bigint
        return self._store.page(filters, limit, offset, deadline)

    def with_texts(self, listed: Sequence[Listed], deadline: Deadline) -> list[OrderState]:
        """Return orders of a page with their large texts. Raises DatabaseTrouble."""
        return self._store.with_texts(listed, deadline) if listed else []

    def answer(self, read_command: Callable[[], Command], call: Call) -> HttpAnswer:
        """Return the answer already given under the call's key, else do what the command asks for.

        Raises what `read_command` raises, KeyReused, KeyInUse and DatabaseTrouble.
        """
        return self._repeated(read_command, call) or self.execute(read_command(), call)

    def _repeated(self, read_command: Callable[[], Command], call: Call) -> HttpAnswer | None:
        """Return the answer already given under the call's key, None where there is none [H15].

        The refusal of an accept is remembered again: its runner clears after this answer too [R8].
        """
        if call.key is None:
            return None
        stored = self._store.answers.find(call.key, call.deadline)
        if stored is None:
            return None
        body_hash, answer = stored
        if body_hash != call.key.body_hash:
            raise KeyReused
        if ORDER_TAKEN in answer.body and isinstance(command := read_command(), AcceptOrder):
            self._store.answers.remember((command.order_id, command.runner_id), call.deadline)
        return answer

    def execute(self, command: Command, call: Call) -> HttpAnswer:
        """Do what the command asks for, once; return the answer, whose change is committed.

        Twins of one process wait for each other here, without a connection. Raises KeyReused, KeyInUse and
        DatabaseTrouble.
        """
        if call.key is None:
            return self._execute(command, call)
        patience = call.deadline.sooner(ASKING_SECONDS, KEY_SECONDS)
        with self._turns.take((call.key.path, call.key.key), patience, KeyInUse()) as waited:
            answer = self._repeated(lambda: command, call) if waited else None
            return answer or self._execute(command, call)

    def _execute(self, command: Command, call: Call) -> HttpAnswer:
        """Optimistic first: on a busy order that may miss again and again (19 tries were seen with 50 writers), so
        the last try takes the order's lock."""
        try:
            for _ in range(TRIES_WITHOUT_LOCK):
                answer = self._attempt(command, call)
                if answer is not None:
                    return answer
                LOST_RACES.inc()
            return self._attempt_locked(command, call)
        except KeyTaken:
            answer = self._repeated(lambda: command, call)
            if answer is None:
                raise KeyInUse from None
            return answer

    def _attempt(self, command: Command, call: Call) -> HttpAnswer | None:
        order = None if isinstance(command, CreateOrder) else self._store.load(command.order_id, call.deadline)
        decision = self._decide(order, command, call)
        if not isinstance(decision, Change):
            return self._settle(decision, command, call)
        write = self._prepare(decision, call)
        if not self._store.write(write, call.deadline):
            return None
        self._committed(write)
        return write.answer

    def _attempt_locked(self, command: Command, call: Call) -> HttpAnswer:
        assert not isinstance(command, CreateOrder)
        until = waiting(call.key, call.deadline)
        with self._store.turn(command.order_id, until):
            answer = None
            while answer is None:
                answer = self._try_locked(command, call, until)
            return answer

    def _try_locked(self, command: OrderCommand, call: Call, until: Deadline) -> HttpAnswer | None:
        write: Write | None = None
        try:
            with self._pool.transaction(until) as session:
                order = self._store.locked(command.order_id, call.key, session, until)
                decision = self._decide(order, command, call, session)
                if isinstance(decision, Change):
                    write = self._prepare(decision, call)
                    self._store.write_locked(write, session, until)
        except OutcomeUnknown as lost:
            if write is None or not self._is_known_to_be_done(write, call.deadline):
                raise lost from None
        except ValuesRefused as error:
            raise_if_taken(error)
            raise
        except DatabaseBusy:
            self._store.answers.raise_if_in_use(call.key, call.deadline)
            raise
        if not isinstance(decision, Change):
            return self._settle(decision, command, call)
        assert write is not None
        self._committed(write)
        return write.answer

    def _is_known_to_be_done(self, write: Write, deadline: Deadline) -> bool:
        try:
            return self._store.is_written(write, deadline)
        except DatabaseTrouble:
            return False

    def _decide(
        self, order: OrderState | None, command: Command, call: Call, session: Session | None = None
    ) -> Decision:
        """Ask the rules; what else they need to know is read in `session` where one holds the order."""
        now = self._clock()
        if isinstance(command, CreateOrder):
            return rules.create(command, str(new_id()), now)
        bare = isinstance(command, ClearRunner) and command.runner_id is None
        forgivable = (
            bare and order is not None and self._store.answers.is_forgivable(order.order_id, call.deadline, session)
        )
        return rules.decide(order, command, now, forgivable=forgivable)

    def _settle(self, decision: Unchanged | Refusal, command: Command, call: Call) -> HttpAnswer | None:
        """Answer without a change; None: another call used the remembered refusal up in between."""
        answer = call.present(decision)
        if isinstance(decision, Unchanged) and decision.forgiven:
            used = self._store.answers.use_refusal(call.key, answer, decision.order.order_id, new_id(), call.deadline)
            return answer if used else None
        if isinstance(command, AcceptOrder) and isinstance(decision, Refusal) and decision.code == rules.ORDER_TAKEN:
            accept = (command.order_id, command.runner_id)
            self._store.answers.keep_refused_accept(call.key, answer, accept, call.deadline)
        else:
            self._store.answers.keep(call.key, answer, call.deadline)
        return answer

    def _prepare(self, change: Change, call: Call) -> Write:
        change_id = new_id()
        event = http_event(change, change_id, call.origin.correlation_id, change.order.updated_at)
        return Write(change, change_id, call.origin, event, call.key, call.present(change))

    def _committed(self, write: Write) -> None:
        if write.event is not None:
            self._on_event()
