"""A call of the service that is repeated until its answer is final: both examples call so."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

Answer = dict[str, Any]


def final_answer(
    request: urllib.request.Request, seconds: float, is_final: Callable[[int, Mapping[str, Any]], bool]
) -> Answer:
    """Return the first answer whose status and JSON are final. Raises TimeoutError after `seconds`, with the last one.

    The request must do no harm twice: it is repeated after any other answer, and where none came.
    """
    deadline = time.monotonic() + seconds
    while True:
        pause = 0.5
        try:
            status, retry_after, answer = _exchange(request)
            if is_final(status, answer):
                return answer
            pause, last = float(retry_after or pause), f"{status} {answer}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            last = repr(error)  # no whole answer
        if time.monotonic() + pause > deadline:
            raise TimeoutError(last)
        time.sleep(pause)


def _exchange(request: urllib.request.Request) -> tuple[int, str | None, Answer]:
    """Return an answer's status, its Retry-After and its JSON, whether it is a success or a failure."""
    try:
        answer = urllib.request.urlopen(request, timeout=5)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers.get("Retry-After"), dict(json.load(answer))
