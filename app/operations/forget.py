"""A person is forgotten: their data goes, the orders' figures stay (decision 25).

In this order, so that nothing comes back:

1. The orders, each as a change with a version of its own. A request or command that has read an order before fails on
   the version when it writes, and decides anew.
2. A wait for the requests under way. One that changes nothing stores its answer as it has read the order, for
   CONTRACT_SECONDS at the longest.
3. Orders once more, for what was made meanwhile, then history, answers, records, the audit and the count.
4. What still waits for Kafka leaves as it is: consumers need it, and its copy on the topic is as old as its
   neighbours'. It is told.

Every step begins with what is there. So the command may be killed and run again, and a second run finds nothing. What
is left to do then gets another pseudonym: to remember the first would be to remember the person.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.config.config import Settings
from app.models.forgetting import EVERY, OVER, Person, Role
from app.models.operator_errors import NotPossible
from app.operations import forget_orders, forget_records
from app.operations.audit import Operator
from app.utils.deadline import Deadline
from app.utils.limits import CONTRACT_SECONDS
from app.wire.forgetting import names

LEAVE_SECONDS = 15.0
LOOK_SECONDS = 0.5
MANY = 1000


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many orders, lines of history, stored answers and kept records had data of the person, and what waits.

    `waiting`: events and dead letters that name the person and that Kafka has not taken yet. `counted`: their orders
    are still counted under the id, since the person has new ones, or since changes are not folded yet.
    """

    pseudonym: str
    orders: int
    history: int
    answers: int
    records: int
    waiting: int
    counted: bool

    @property
    def found_nothing(self) -> bool:
        """Whether nothing is stored of the person: perhaps the id is a typo."""
        return not (self.orders or self.history or self.answers or self.records or self.waiting or self.counted)

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the person is left here."""
        return not self.waiting and not self.counted


def look(settings: Settings, role: Role, person_id: str, *, open_too: bool = False) -> int:
    """Return how many orders the person has, MANY at the most. Raises NotPossible if one is under way."""
    person = _person(role, person_id)
    with forget_orders.database(settings) as pool:
        if not open_too:
            forget_orders.require_over(pool, person)
        return len(forget_orders.find(pool, person, EVERY, MANY))


def forget(operator: Operator, role: Role, person_id: str, *, reason: str, open_too: bool = False) -> Forgotten:
    """Forget a person. Blocks for minutes if there are many orders, answers or changes; commits in portions.

    Raises NotPossible if an order is under way, unless `open_too`, or if the reason, which the audit keeps, names the
    person. The audit has the pseudonym, the reason and the numbers.
    """
    person = _person(role, person_id)
    if not open_too:
        with forget_orders.database(operator.settings) as pool:
            forget_orders.require_over(pool, person)
    if names(reason.encode(), person_id):
        raise NotPossible("The reason names the person, and the audit would keep it: give another.")
    forget_records.require_rights(operator.settings, person)
    with operator.change("forget") as change:
        line = change.record(f"{role} {person.pseudonym}", f"begun: {reason}")
    try:
        done = _carry_out(operator, person, open_too=open_too)
    except NotPossible as failure:
        operator.complete(line, f"stopped, {failure} {reason}")
        raise
    operator.complete(line, f"{_in_words(done)}: {reason}")
    return done


def _carry_out(operator: Operator, person: Person, *, open_too: bool) -> Forgotten:
    settings, statuses = operator.settings, EVERY if open_too else OVER
    with forget_orders.database(settings) as pool:
        orders = forget_orders.take_out(pool, person, operator.name, statuses)
        time.sleep(CONTRACT_SECONDS)
        orders += forget_orders.take_out(pool, person, operator.name, statuses)
    history = forget_records.from_history(settings, person)
    answers = forget_records.from_answers(settings, person)
    records = forget_records.from_taken_out_events(settings, person) + forget_records.from_audit(settings, person)
    records += forget_records.from_jobs(settings, person)
    waiting = _until_zero(lambda: forget_records.waiting(settings, person), LEAVE_SECONDS)
    records += forget_records.from_records(settings, person)  # after the dead letters that waited
    with forget_orders.database(settings) as pool:
        gone = forget_orders.drop_count(pool, person, LEAVE_SECONDS)
    return Forgotten(person.pseudonym, orders, history, answers, records, waiting, counted=not gone)


def _until_zero(count: Callable[[], int], seconds: float) -> int:
    deadline = Deadline(seconds)
    while (found := count()) and not deadline.passed:
        time.sleep(LOOK_SECONDS)
    return found


def _person(role: Role, person_id: str) -> Person:
    return Person(role, person_id, f"forgotten-{secrets.token_hex(8)}")


def _in_words(done: Forgotten) -> str:
    state = "done" if done.is_complete else f"not complete, {done.waiting} wait for Kafka"
    counted = f"{done.orders} orders, {done.history} changes, {done.answers} answers, {done.records} records"
    return f"{state}, {counted}"
