"""The public keys of the identity provider: fetched in the background, the last good ones kept for ever.

Verifying a token never waits for the provider. A token under an unknown key id only asks the thread to look, at most
every COOL_DOWN_SECONDS, whoever asks and however often. Decision 20 says why this is not PyJWT's client.
"""

import logging
import threading
import time
from collections.abc import Collection
from typing import Any

from app.services.jwks_fetch import FetchError, fetch
from app.services.key_set import KeySet, UnusableKeys, parse
from app.utils.alarms import Alarms
from app.utils.logging import Repeats
from app.utils.supervisor import Beat

log = logging.getLogger(__name__)

FETCH_SECONDS = 5.0
COOL_DOWN_SECONDS = 10.0  # from the begin of one attempt to the next one, after a failure or for an unknown key
REFRESH_SECONDS = 45.0  # with a fetch it is less than a minute until a new key counts and a withdrawn one does not
OLD_SECONDS = 300.0  # without a good answer: then a person should look
LOOK_SECONDS = 0.25
JWKS = "jwks"
"""The name of the part in /readyz, and of the alarm."""


class ProviderKeys:
    """The keys of one process. `run` is the work of the thread; the rest may be called from any and returns at once."""

    name = JWKS

    def __init__(self, url: str, ca_file: str, algorithms: Collection[str], alarms: Alarms) -> None:
        self._url = url
        self._ca_file = ca_file
        self._algorithms = algorithms
        self._alarms = alarms
        self._repeats = Repeats()
        self._document = b""
        self._attempted_at: float | None = None
        self._good_at: float | None = None
        self._failure: str | None = None
        self._is_wanted = False
        self.current: KeySet | None = None
        """The last good keys, None before the first. Another object means other keys."""

    def ask(self) -> None:
        """Ask the thread to fetch, because a token names a key that is not there."""
        self._is_wanted = True

    def part(self) -> dict[str, Any]:
        """Return what /readyz shows."""
        age = None if self._good_at is None else round(time.monotonic() - self._good_at, 1)
        keys = 0 if self.current is None else len(self.current.keys)
        return {"ok": self._failure is None and keys > 0, "keys": keys, "seconds_old": age, "reason": self._failure}

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Fetch whenever it is due, until `stop`."""
        while not stop.is_set():
            beat()
            self.step(time.monotonic())
            stop.wait(LOOK_SECONDS)

    def step(self, now: float) -> None:
        """Fetch once, if that is due at the monotonic time `now`. Blocks for FETCH_SECONDS."""
        pause = COOL_DOWN_SECONDS if self._is_wanted or self._failure is not None else REFRESH_SECONDS
        if self._attempted_at is not None and now - self._attempted_at < pause:
            return
        self._attempted_at = now
        self._is_wanted = False  # before the fetch: who asks meanwhile may want a newer document
        try:
            self._take(fetch(self._url, self._ca_file, FETCH_SECONDS))
        except (FetchError, UnusableKeys) as error:
            self._fail(str(error), now)
        else:
            self._good_at, self._failure = now, None
            self._alarms.clear(JWKS)

    def _take(self, document: bytes) -> None:
        if document != self._document:
            self.current = parse(document, self._algorithms)
            self._document = document
            log.info("tokens are verified by %s keys of JWT_JWKS_URL", len(self.current.keys))

    def _fail(self, reason: str, now: float) -> None:
        self._failure = reason
        self._repeats.say(log, logging.WARNING, f"JWT_JWKS_URL gave no keys: {reason}")
        if self._good_at is None:
            self._alarms.ring(
                JWKS,
                f"JWT_JWKS_URL has given no keys since the start, requests with a token are answered 503: {reason}",
            )
        elif now - self._good_at >= OLD_SECONDS:
            minutes = OLD_SECONDS / 60
            self._alarms.ring(
                JWKS,
                f"JWT_JWKS_URL has given no keys for over {minutes:g} minutes, the last good ones are used: {reason}",
            )
