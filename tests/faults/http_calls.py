"""The same call from many callers at the same moment, each recorded as the load records its own."""

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.faults.trial import Trial
from tests.harness.history import INFO, Operation
from tests.harness.load import PATHS, PAUSE_SECONDS, TRIES, Connection, outcome_of


@dataclass(frozen=True, slots=True)
class Answered:
    """What one caller got in the end, and the correlation ids of all its tries."""

    status: int | None
    body: Any
    correlation_ids: tuple[str, ...]


def call(trial: Trial, f: str, key: str, body: Mapping[str, Any], attempt: str, caller: int = 0) -> Answered:
    """Send until there is a clear answer, at most TRIES times. `attempt` is the Idempotency-Key."""
    sent: list[str] = []
    answer = None
    with Connection(trial.stack.ports, first=caller) as connection:
        for _ in range(TRIES):
            sent.append(uuid.uuid4().hex)
            started = time.monotonic()
            headers = {"Idempotency-Key": attempt, "X-Correlation-ID": sent[-1]}
            answer = connection.call("POST", PATHS[f], body, **headers)
            if record(trial, f, key, body, attempt, sent[-1], started, answer, connection.lost) != INFO:
                break
            time.sleep(PAUSE_SECONDS)  # what the load's clients leave between two tries
    status, decoded = answer or (None, None)
    return Answered(status, decoded, tuple(sent))


def call_at_once(trial: Trial, f: str, key: str, body: Mapping[str, Any], attempts: Sequence[str]) -> list[Answered]:
    """Make the call once for each key in `attempts`, from a thread each, all at the same moment."""
    gate = threading.Barrier(len(attempts))

    def one(caller: int) -> Answered:
        gate.wait(timeout=30)
        return call(trial, f, key, body, attempts[caller], caller)

    with ThreadPoolExecutor(len(attempts)) as callers:
        return list(callers.map(one, range(len(attempts))))


def record(
    trial: Trial,
    f: str,
    key: str,
    body: Mapping[str, Any],
    attempt: str,
    correlation_id: str,
    started: float,
    answer: tuple[int, Any] | None,
    lost: str | None,
) -> str:
    """Add one send to the history and return its outcome."""
    status, decoded = answer or (None, None)
    value = {"attempt": attempt, "correlation_id": correlation_id, "status": status, "answer": decoded, "lost": lost}
    value |= {"runner": body.get("runner_id")}
    outcome = outcome_of(status)
    trial.load.history.add(Operation(f"at-once-{key}", f, key, value, started, time.monotonic(), outcome))
    return outcome
