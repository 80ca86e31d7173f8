"""The use cases of the HTTP door: decide, commit, answer. Kafka's batches are in command_service.py, same rules."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.database.answers import AnswerStore
from app.database.orders import LockedOrder, OrderStore
from app.database.pages import PageStore
from app.database.refused_accepts import RefusedAccepts
from app.models import rules
from app.models.commands import AcceptOrder, ClearRunner, Command, CreateOrder
from app.models.errors import KeyInUse, KeyReused, KeyTaken
from app.models.order import OrderState
from app.models.pages import Listed, Page
from app.models.rules import Change, Decision, Refusal, Unchanged
from app.models.writes import ChangeSource, HttpAnswer, IdempotencyKey, OrderWrite, Outcome
from app.services.counted import count_change, count_refusal, count_repeat
from app.utils.deadline import Deadline
from app.utils.ids import new_id
from app.utils.limits import ASKING_SECONDS, KEY_SECONDS
from app.utils.line import Line
from app.utils.metrics import LOST_RACES
from app.utils.turns import Turns
from app.wire.answers import AnswerForm, code_of
from app.wire.events import http_event

TRIES_WITHOUT_LOCK = 3

Access = AbstractContextManager[OrderStore | LockedOrder]
Clock = Callable[[], datetime]
LostRace = Callable[[str, str | None, str, str], None]


def utc_now() -> datetime:
    """Return the time as the orders hold it."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What a use case needs of a request besides the command. `form` makes the answer."""

    source: ChangeSource
    deadline: Deadline
    key: IdempotencyKey | None
    form: AnswerForm


class OrderService:
    """Reads and changes orders. Every method blocks until the deadline at the longest, and raises DatabaseError."""

    def __init__(
        self,
        orders: OrderStore,
        pages: PageStore,
        answers: AnswerStore,
        refused_accepts: RefusedAccepts,
        on_event: Callable[[], None],
        clock: Clock = utc_now,
        on_lost_race: LostRace = lambda *_: None,
        *,
        counts: bool = True,
    ) -> None:
        """`counts`: whether what is done shows in the metrics; not where the caller may undo it.

        `on_event` is called after each commit that put an event into the outbox, `on_lost_race` with path, key,
        correlation id and order id of a request that is decided again; neither may block."""
        self._orders = orders
        self._unlocked = nullcontext(orders)
        self._pages = pages
        self._answers = answers
        self._refused_accepts = refused_accepts
        self._on_event = on_event
        self._clock = clock
        self._on_lost_race = on_lost_race
        self._counts = counts
        self._turns = Turns()

    @property
    def lines(self) -> tuple[Line[Any], ...]:
        """The calls that wait for the database in this process."""
        return self._orders.lines

    def get(self, order_id: str, deadline: Deadline) -> OrderState | None:
        """Return the order as it is now, or None."""
        return self._orders.load(order_id, deadline)

    def page(self, filters: dict[str, str], page: int, limit: int, deadline: Deadline) -> Page:
        """Return a page of the orders that match, newest first, without large texts."""
        offset = min((page - 1) * limit, 2**62)  # past any end, and still a bigint
        return self._pages.page(filters, limit, offset, deadline)

    def with_texts(self, listed: Sequence[Listed], deadline: Deadline) -> list[OrderState]:
        """Return orders of a page with their large texts."""
        return self._pages.with_texts(listed, deadline) if listed else []

    def execute_once(self, read_command: Callable[[], Command], context: RequestContext) -> HttpAnswer:
        """Return the answer stored under the request's key, else do what the command asks for [H15].

        The stored answer is looked up before the body is parsed: another body under the key is KeyReused, whatever else
        is wrong with it. Duplicates in one process wait for each other here, without a connection. Raises what
        `read_command` raises, KeyReused and KeyInUse too.
        """
        key = context.key
        assert key is not None
        answer = self._stored(context, read_command)
        if answer is not None:
            return answer
        command = read_command()
        patience = context.deadline.sooner(ASKING_SECONDS, KEY_SECONDS)
        with self._turns.take((key.path, key.key), patience, KeyInUse()) as has_waited:
            if has_waited:
                answer = self._stored(context, lambda: command)
                if answer is not None:
                    return answer
            try:
                return self.execute(command, context)
            except KeyTaken:
                answer = self._stored(context, lambda: command)
        if answer is None:
            raise KeyInUse
        return answer

    def execute(self, command: Command, context: RequestContext) -> HttpAnswer:
        """Do what the command asks for; return the answer, whose change is committed. Raises KeyTaken, KeyInUse too.

        The first tries hold no lock: if another change was committed between reading and commit, the command is decided
        again. On a busy order that may happen many times (19 were seen with 50 writers), so later tries hold the order.
        """
        tries = 0
        while True:
            access: Access = self._unlocked
            if tries >= TRIES_WITHOUT_LOCK and not isinstance(command, CreateOrder):
                access = self._orders.hold(command.order_id, context.key, context.deadline)
            answer = self._attempt(command, context, access)
            if answer is not None:
                return answer
            LOST_RACES.inc()
            if not isinstance(command, CreateOrder):
                key = context.key.key if context.key else None
                self._on_lost_race(context.form.path, key, context.source.correlation_id, command.order_id)
            tries += 1

    def _attempt(self, command: Command, context: RequestContext, access: Access) -> HttpAnswer | None:
        """Decide and commit once. Return the answer, None if another change was committed first."""
        with access as orders:
            decision = self._decide(command, orders, context.deadline)
            answer = context.form.answer(decision)
            if isinstance(decision, Change):
                change_id = new_id()
                event = http_event(decision, change_id, context.source.correlation_id)
                write = OrderWrite(decision, change_id, context.source, event, context.key, answer)
                outcome = orders.commit(write, context.deadline)
        # A held order is committed by now, so its event can be read, and its key is free again.
        if not isinstance(decision, Change):
            outcome = self._settle(decision, answer, command, context)
            if isinstance(decision, Refusal) and self._counts:
                count_refusal(decision.code, context.source.door)
        elif outcome is Outcome.DONE:
            if self._counts:
                count_change(decision.kind, context.source.door)
            if decision.announce:
                self._on_event()
        return answer if outcome is Outcome.DONE else None

    def _stored(self, context: RequestContext, read_command: Callable[[], Command]) -> HttpAnswer | None:
        """Return the answer stored under the request's key, or None [H15]. Raises KeyReused too.

        If the answer refuses an accept, the refusal is remembered anew: its runner clears after this answer too [R8].
        """
        assert context.key is not None
        stored = self._answers.find(context.key, context.deadline)
        if stored is None:
            return None
        body_hash, answer = stored
        if body_hash != context.key.body_hash:
            raise KeyReused
        count_repeat("http")
        if code_of(answer) == rules.ORDER_TAKEN and isinstance(command := read_command(), AcceptOrder):
            self._refused_accepts.remember(command.order_id, command.runner_id, context.deadline)
        return answer

    def _decide(self, command: Command, orders: OrderStore | LockedOrder, deadline: Deadline) -> Decision:
        if isinstance(command, CreateOrder):
            return rules.create(command, str(new_id()), self._clock())
        order = orders.load(command.order_id, deadline)
        is_bare_clear = isinstance(command, ClearRunner) and command.runner_id is None
        has_refused_accept = (
            is_bare_clear and order is not None and self._refused_accepts.has(order.order_id, deadline, orders.session)
        )
        return rules.decide(order, command, self._clock(), has_refused_accept=has_refused_accept)

    def _settle(
        self, decision: Unchanged | Refusal, answer: HttpAnswer, command: Command, context: RequestContext
    ) -> Outcome:
        """Store the answer to what changes nothing. MOVED_ON: another request has used up the refused accept."""
        key, deadline = context.key, context.deadline
        if isinstance(decision, Unchanged) and decision.answers_refused_accept:
            return self._refused_accepts.use_up(decision.order.order_id, new_id(), key, answer, deadline)
        if isinstance(command, AcceptOrder) and isinstance(decision, Refusal) and decision.code == rules.ORDER_TAKEN:
            self._refused_accepts.keep(command.order_id, command.runner_id, key, answer, deadline)
        elif key is not None:
            self._answers.keep(key, answer, deadline)
        return Outcome.DONE
