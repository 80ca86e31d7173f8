"""The smallest inputs that together reach what all of them reach in the service's code, and in h11's beside it.

That is each step from line to line and each refusal, by its sentence without what was sent.
"""

import hashlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import h11

from app.models.errors import ServiceError
from tests.fuzz.mutations import MAX_LENGTH
from tests.fuzz.targets import CORPUS, TARGETS, Target

_SENT = re.compile("[0-9]+|(?<=status: ).*", re.DOTALL)
_TRACED = (str(Path(__file__).resolve().parents[2] / "app"), str(Path(h11.__file__).parent))

Step = tuple[CodeType, int, int | str]


def keep_smallest(name: str, found: Path) -> None:
    """Bring the inputs in `found` into the corpus of the target, and take out those that are not needed."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {path.read_bytes() for place in (folder, found) for path in place.iterdir() if path.is_file()}
    kept = smallest(TARGETS[name], (data for data in inputs if len(data) <= MAX_LENGTH))
    for path in folder.iterdir():
        path.unlink()
    for data in kept:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    print(f"{name}: {len(kept)} of {len(inputs)} inputs are kept")


def smallest(target: Target, inputs: Iterable[bytes]) -> list[bytes]:
    """Return the inputs that reach a step that no shorter one reaches."""
    kept: list[bytes] = []
    known: set[Step] = set()
    for data in sorted(inputs, key=lambda data: (len(data), data)):
        reached = steps(target, data)
        if not reached <= known:
            known |= reached
            kept.append(data)
    return kept


def steps(target: Target, data: bytes) -> set[Step]:
    """Return what is reached for the input."""
    reached: set[Step] = set()
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "call" and not frame.f_code.co_filename.startswith(_TRACED):
            return None
        if event == "exception" and issubclass(argument[0], ServiceError):
            reached.add((frame.f_code, frame.f_lineno, _SENT.sub("#", str(argument[1]))))
        reached.add((frame.f_code, last.get(frame, 0), frame.f_lineno))
        last[frame] = frame.f_lineno
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        target(data)
    finally:
        sys.settrace(before)
    return reached
