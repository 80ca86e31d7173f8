"""The promises I1-I8 as pure functions: a history and what was found at the end in, sentences about violations out.

An oracle of its own: nothing here comes from `app/`, or a fault there would be believed here.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from tests.harness.found import Found, Line, Record
from tests.harness.history import FAIL, OK, UNREADABLE, Operation, digest
from tests.harness.load import WRITES

REPLIES = {
    "create_order": ("order.created", "order.creation_failed"),
    "update_order_status": ("order.status_updated", "order.status_update_failed"),
    "cancel_order": ("order.cancelled", "order.cancellation_failed"),
}
REPLY_TYPES = {name for pair in REPLIES.values() for name in pair}
TWINS_PER_RECORDS = 10_000  # at most one, where a row may have twins at all
_FINAL = ("COMPLETED", "CANCELLED")
_WHOLE_ORDER = ("update", "cancel", "complete")

T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True)
class Case:
    """A history with what was found, and the ways to look things up in both."""

    operations: Sequence[Operation]
    found: Found

    @cached_property
    def attempts(self) -> Mapping[str, list[Operation]]:
        """The sends of each HTTP wish, by its Idempotency-Key."""
        return _grouped((it for it in self.operations if it.f in WRITES), lambda it: it.value["attempt"])

    @cached_property
    def lines_of_order(self) -> Mapping[str, list[Line]]:
        """The history lines of each order, by version."""
        lines = sorted(self.found.lines, key=lambda line: (line.order_id, line.version))
        return _grouped(lines, lambda line: line.order_id)

    @cached_property
    def lines_of_cause(self) -> Mapping[str, list[Line]]:
        """The history lines by correlation id, which is unique per send in our load."""
        return _grouped(self.found.lines, lambda line: line.correlation_id)

    @cached_property
    def announcements(self) -> Mapping[str, list[tuple[int, Record, dict[str, Any]]]]:
        """The records that announce a change, by order: version, record and body, in the order of the topic."""
        announced: dict[str, list[tuple[int, Record, dict[str, Any]]]] = defaultdict(list)
        for record, body in self.events:
            version = body["payload"].get("version")
            if version is not None:
                announced[_order_of(body)].append((version, record, body))
        return announced

    @cached_property
    def events(self) -> list[tuple[Record, dict[str, Any]]]:
        """Every record of the events topic with its decoded body."""
        return [(record, record.body) for record in self.found.events]

    @cached_property
    def unreadable(self) -> set[str]:
        """The digests of the bytes that the load meant to be unreadable."""
        return {it.value["digest"] for it in self.operations if it.f == UNREADABLE}

    @cached_property
    def silent(self) -> set[str]:
        """The correlation ids under which orders were made that are not announced."""
        return {it.value["correlation_id"] for it in self.operations if it.f == "create_test"}


def check(operations: Sequence[Operation], found: Found) -> dict[str, list[str]]:
    """Return the violations of each promise, by its mark."""
    case = Case(operations, found)
    return {mark: list(promise(case)) for mark, promise in PROMISES.items()}


def without_twins(found: Found) -> tuple[Found, int]:
    """Return what was found without the records that are the very bytes of an earlier one, and how many these were.

    A frozen leader or a network that delivers late can force such a twin; a consumer drops it by its event id.
    """
    first: dict[tuple[int, str | None, bytes | None], Record] = {}
    for record in sorted(found.events, key=lambda it: (it.partition, it.offset)):
        first.setdefault((record.partition, record.header("event_id"), record.value), record)
    return replace(found, events=list(first.values())), len(found.events) - len(first)


def durability(case: Case) -> Iterable[str]:
    """I1: what was answered ok is there once, what was refused is not there, the rest 0 or 1 times."""
    for attempt, sends in case.attempts.items():
        lines = [line for send in sends for line in case.lines_of_cause.get(send.value["correlation_id"], ())]
        answers = {(send.value["status"], str(send.value["answer"])) for send in sends if send.outcome in (OK, FAIL)}
        what = f"{sends[0].f} {attempt} of {sends[0].key}"
        if len(lines) > 1:
            yield f"{what} was done {len(lines)} times"
        if len(answers) > 1:
            yield f"{what} got different answers under one key: {sorted(status for status, _ in answers)}"
        for send in sends:
            if send.outcome == FAIL and lines:
                yield f"{what} was refused with {send.value['status']} but done"
            if send.outcome == OK:
                yield from (f"{what}: {fault}" for fault in _not_there(case, send, lines))


def _not_there(case: Case, send: Operation, lines: Sequence[Line]) -> Iterable[str]:
    answer = send.value["answer"]
    if send.f in _WHOLE_ORDER:
        order = answer["order"]
        at = [line for line in case.lines_of_order.get(order["orderId"], ()) if line.version == order["version"]]
        if not at:
            yield f"answered with version {order['version']}, which is lost"
        elif at[0].to_status != order["orderStatus"]:
            yield f"answered with {order['orderStatus']}, but that version is {at[0].to_status}"
    elif not lines:
        yield "answered ok, but lost"
    elif lines[0].order_id != answer["order_id"]:
        yield f"answered for order {answer['order_id']}, but done to {lines[0].order_id}"
    elif send.f == "accept" and lines[0].runner_id != send.value["runner"]:
        yield f"accepted for {send.value['runner']}, but held by {lines[0].runner_id}"


def no_ghosts(case: Case) -> Iterable[str]:
    """I2: every change was asked for, every event belongs to a change or to a command."""
    asked = {it.value["correlation_id"] for it in case.operations if "correlation_id" in it.value}
    changes = {(line.order_id, line.version): line for line in case.found.lines}
    for line in case.found.lines:
        if line.correlation_id not in asked:
            yield f"order {line.order_id} version {line.version} was asked for by nobody"
    for row in case.found.rows:
        if row.order_id not in case.lines_of_order:
            yield f"order {row.order_id} has no history"
    for record, body in case.events:
        name = f"event {body['event_id']} ({body['type']})"
        version = body["payload"].get("version")
        if body["correlation_id"] not in asked:
            yield f"{name} answers nobody"
        elif version is None and body["type"] not in REPLY_TYPES:
            yield f"{name} announces a change without a version"
        elif version is not None:
            change = changes.get((_order_of(body), version))
            if change is None or change.change_id != body["event_id"]:
                yield f"{name} announces version {version} of {_order_of(body)}, which is not in the history"
        if record.header("event_id") != body["event_id"]:
            yield f"{name} has another event_id in its header"


def one_event_per_change(case: Case) -> Iterable[str]:
    """I3: an order's versions are gapless, and each is announced by exactly one record."""
    for row in case.found.rows:
        lines = case.lines_of_order.get(row.order_id, [])
        if [line.version for line in lines] != list(range(1, row.version + 1)):
            yield f"order {row.order_id} at version {row.version} has the history {[it.version for it in lines]}"
        silent = bool(lines) and lines[0].correlation_id in case.silent
        expected = list(range(2 if silent else 1, row.version + 1))
        announced = sorted(version for version, _, _ in case.announcements.get(row.order_id, ()))
        if announced != expected:
            yield f"order {row.order_id}: versions {expected} happened, {announced} were announced"
    if case.found.outbox:
        yield f"{case.found.outbox} events were never sent"


def order_of_events(case: Case) -> Iterable[str]:
    """I4: an order's announcements are in one partition, versions ascending with the offsets."""
    for order_id, announced in case.announcements.items():
        partitions = {record.partition for _, record, _ in announced}
        if len(partitions) > 1:
            yield f"order {order_id} is announced in partitions {sorted(partitions)}"
        by_offset = [version for version, record, _ in sorted(announced, key=lambda it: it[1].offset)]
        if len(partitions) == 1 and by_offset != sorted(by_offset):
            yield f"order {order_id} is announced in the order {by_offset}"


def no_twins(case: Case) -> Iterable[str]:
    """I5: no event id twice, no version announced twice."""
    ids = Counter(body["event_id"] for _, body in case.events)
    yield from (f"event_id {event_id} is {count} times in the log" for event_id, count in ids.items() if count > 1)
    for order_id, announced in case.announcements.items():
        versions = Counter(version for version, _, _ in announced)
        yield from (
            f"version {version} of {order_id} is announced {count} times"
            for version, count in versions.items()
            if count > 1
        )


def replies(case: Case) -> Iterable[str]:
    """I6: exactly one reply per command, told apart by its bytes; one dead letter per unreadable record."""
    answers = _grouped(
        (body for _, body in case.events if body["type"] in REPLY_TYPES), lambda body: body["correlation_id"]
    )
    commands = {digest(it.value): it.body for it in case.found.commands if digest(it.value) not in case.unreadable}
    for command in commands.values():
        got = [body["type"] for body in answers.get(command["correlation_id"], ())]
        what = f"{command['type']} {command['correlation_id']}"
        if len(got) != 1:
            yield f"{what} has {len(got)} replies"
        elif got[0] not in REPLIES[command["type"]]:
            yield f"{what} is answered with {got[0]}"
    asked = {command["correlation_id"] for command in commands.values()}
    yield from (f"a reply to {name}, which is no command" for name in answers.keys() - asked)
    sent = {digest(it.value) for it in case.found.commands}
    for it in case.operations:
        if it.outcome == OK and "digest" in it.value and it.value["digest"] not in sent:
            yield f"{it.f} {it.key} was acknowledged, but is not in the log"
    yield from _dead_letters(case)


def _dead_letters(case: Case) -> Iterable[str]:
    letters = _grouped(
        case.found.dead_letters,
        lambda it: (int(it.header("original_partition") or -1), int(it.header("original_offset") or -1)),
    )
    for record in case.found.commands:
        place = (record.partition, record.offset)
        got = letters.pop(place, [])
        expected = 1 if digest(record.value) in case.unreadable else 0
        if len(got) != expected:
            yield f"the command at {place} has {len(got)} dead letters instead of {expected}"
        elif any((it.key, it.value) != (record.key, record.value) for it in got):
            yield f"the dead letter of {place} is not its bytes"
    yield from (f"a dead letter of {place}, where no command is" for place in letters)
    if case.found.unsent_dead_letters:
        yield f"{case.found.unsent_dead_letters} dead letters were never sent"


def legal_paths(case: Case) -> Iterable[str]:
    """I7: every order went a way that the rules allow, its row equals its last event, one order per saga."""
    for order_id, lines in case.lines_of_order.items():
        before = None
        for line in lines:
            if line.from_status != before or not _allowed(line):
                yield f"order {order_id} went from {before} to {line.to_status} by {line.kind} ({line.door})"
            before = line.to_status
    for row in case.found.rows:
        lines = case.lines_of_order.get(row.order_id, [])
        if lines and lines[-1].to_status != row.status:
            yield f"order {row.order_id} is {row.status}, its history ends with {lines[-1].to_status}"
        announced = case.announcements.get(row.order_id)
        if announced:
            told = _told(max(announced, key=lambda it: it[0])[2])
            real = {"status": row.status, "runner": row.runner_id, "version": row.version}
            if any(real[name] != value for name, value in told.items()):
                yield f"order {row.order_id} is {real}, its last event says {told}"
    sagas = Counter(row.saga_id for row in case.found.rows if row.saga_id is not None)
    yield from (f"saga {saga_id} made {count} orders" for saga_id, count in sagas.items() if count > 1)


def _allowed(line: Line) -> bool:
    before, after = line.from_status, line.to_status
    match line.kind:
        case "created":
            return before is None and after == "PENDING" and line.version == 1
        case "accepted":
            return (before, after) == ("CREATED", "ACCEPTED")
        case "cancelled":
            customers = before == "CREATED"
            sagas = line.door == "kafka" and before not in (None, "DELIVERED", *_FINAL)
            return after == "CANCELLED" and (customers or sagas)
        case "acceptanceCancelled" | "runnerCleared":
            return before in ("ACCEPTED", "CREATED") and after == "CREATED"
        case "completed":
            return before not in (None, *_FINAL) and after == "COMPLETED"
        case "forgotten":
            return before is not None and before == after and line.door == "operator"
        case "updated":
            return before is not None and (before == after or before not in _FINAL)
    return False


def _told(body: dict[str, Any]) -> dict[str, Any]:
    """Return what an announcement says of the order after it."""
    payload = body["payload"]
    if body["type"] == "order.cancelled":
        return {"status": "CANCELLED", "version": payload["version"]}
    if body["type"] in REPLY_TYPES:
        return {"status": payload["status"], "version": payload["version"]}
    order = _decoded(payload["event"])
    return {"status": order["orderStatus"], "runner": order["runnerId"], "version": order["version"]}


def reads(case: Case) -> Iterable[str]:
    """I8: a client never reads an order older than its own last write."""
    seen: dict[tuple[str, str], int] = {}
    for it in sorted(case.operations, key=lambda it: it.invoked):
        if it.outcome != OK or "digest" in it.value:
            continue
        order = it.value["answer"] if it.f == "get" else it.value["answer"].get("order")
        if order is None:
            continue
        known = seen.get((it.process, order["orderId"]), 0)
        if it.f == "get" and order["version"] < known:
            yield f"{it.process} read version {order['version']} of {order['orderId']} after its own {known}"
        seen[it.process, order["orderId"]] = max(known, order["version"])


def _order_of(body: dict[str, Any]) -> str:
    payload = body["payload"]
    order_id: str = payload.get("orderId") or payload.get("order_id") or ""
    return order_id


def _decoded(text: str) -> dict[str, Any]:
    return Record(0, 0, None, text.encode()).body


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


PROMISES: Mapping[str, Callable[[Case], Iterable[str]]] = {
    "I1 durability": durability,
    "I2 no ghosts": no_ghosts,
    "I3 one event per change": one_event_per_change,
    "I4 order": order_of_events,
    "I5 no twins": no_twins,
    "I6 replies": replies,
    "I7 legal paths": legal_paths,
    "I8 reads": reads,
}
