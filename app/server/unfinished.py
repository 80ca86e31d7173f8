"""The memory that unfinished requests hold, of all connections together, and its bound."""

import logging
from collections import OrderedDict
from typing import Protocol

from app.utils.logging import Repeats

log = logging.getLogger(__name__)

MAX_HELD = 32 * 1024 * 1024
"""Bytes: two hundred bodies of the largest size, none of them whole. Real callers stay far below, because their
requests arrive within milliseconds. Without them a worker needs some 90 MiB."""
LINE_SECONDS = 10.0


class Holder(Protocol):
    """A connection, as `Unfinished` sees it."""

    held: int

    @property
    def is_at_work(self) -> bool:
        """Whether an answer is due: then the service holds the request up, not its client."""

    def evict(self) -> None:
        """Close, and release the memory by `hold(self, 0)`."""


class Unfinished:
    """Counts the bytes. Beyond the bound it evicts the oldest unfinished request, or the holder that brings more."""

    def __init__(self, most: int = MAX_HELD) -> None:
        self._most = most
        self.held = 0
        self._oldest_first: OrderedDict[Holder, None] = OrderedDict()
        self._repeats = Repeats(LINE_SECONDS)

    def hold(self, holder: Holder, size: int) -> None:
        """Count `size` bytes for the holder from now on. Evicts holders before it returns, until the bound is kept."""
        self.held += size - holder.held
        holder.held = size
        if size and not holder.is_at_work:
            self._oldest_first.setdefault(holder)
        else:
            self._oldest_first.pop(holder, None)
        while self.held > self._most:
            self._log()
            next(iter(self._oldest_first), holder).evict()

    def _log(self) -> None:
        if self._repeats.admit("too much") is not None:
            log.warning("unfinished requests hold more than %d bytes: the oldest are closed", self._most)
