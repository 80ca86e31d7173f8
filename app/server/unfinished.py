"""What unfinished requests hold, of all connections together: bounded, whoever sends them."""

import logging
from collections import OrderedDict
from typing import Protocol

from app.utils.logging import Repeats

log = logging.getLogger(__name__)

MOST_HELD = 32 * 1024 * 1024
"""Bytes. Some two hundred bodies of the largest size, none of them whole: real callers are far from that, for their
requests arrive within milliseconds. A worker has some 90 MiB without them, so this much more surprises no limit."""
LINE_SECONDS = 10.0


class Holder(Protocol):
    """A connection, as far as it matters here."""

    held: int

    @property
    def is_at_work(self) -> bool:
        """Whether somebody waits for its answer: then it is no request that is held up by its own client."""

    def give_place(self) -> None:
        """Let go of what is held, by `hold`, and close."""


class Unfinished:
    """Counts the bytes. Beyond the bound the oldest unfinished request is closed, then who brings more."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = most
        self.held = 0
        self._oldest_first: OrderedDict[Holder, None] = OrderedDict()
        self._said = Repeats(LINE_SECONDS)

    def hold(self, holder: Holder, size: int) -> None:
        """Let it hold so many bytes from now on; those that must give their place do so before this returns."""
        self.held += size - holder.held
        holder.held = size
        if size and not holder.is_at_work:
            self._oldest_first.setdefault(holder)
        else:
            self._oldest_first.pop(holder, None)
        while self.held > self._most:
            self._tell()
            next(iter(self._oldest_first), holder).give_place()

    def _tell(self) -> None:
        if self._said.admit("too much") is not None:
            log.warning("unfinished requests hold more than %d bytes: the oldest are closed", self._most)
