"""Pages of lists [H3]: encoded in portions and, if they are large, sent in pieces.

Between two portions, of whatever page, the loop runs other tasks. The memory of all pages is bounded: each has a share
of one budget, from before its rows are read until its caller has the last of them.
"""

import contextlib
from collections import deque
from collections.abc import Iterator
from itertools import groupby

from app.api.responses import Response
from app.models.errors import Refused
from app.models.pages import ROW_BYTES, Listed, Page
from app.services.order_service import OrderService
from app.utils.budget import Budget, Share
from app.utils.deadline import Deadline
from app.utils.limits import REQUEST_SECONDS
from app.utils.tasks import sleep
from app.utils.turns import Turns
from app.wire.encoder import encode

ANSWERS_BYTES = 32 * 1024 * 1024  # the budget of all answers of a process
PORTION = 100  # orders that are encoded in one go, which takes one or two milliseconds
PIECE_BYTES = 128 * 1024
PIECE_COST = 8 * PIECE_BYTES  # of a piece: as read, as a text of wide characters, quoted, and in the chunk sent
ANSWERING_SECONDS = 1.0  # a page that had to wait for its share has so much time left
BUSY = "The service is making as many large answers as it can; please try again"

_OPENING = b'{"items":['

Part = bytes | Listed
"""Orders as bytes, with commas between them; or one order whose texts are still to be loaded."""


class Pages:
    """Answers with pages."""

    def __init__(self, service: OrderService, budget: Budget) -> None:
        self._service = service
        self._budget = budget
        self._turns = Turns()

    def page(self, filters: dict[str, str], number: int, limit: int, deadline: Deadline) -> Response:
        """Return a page. Raises Refused if the budget has no share for it in time, and DatabaseError."""
        maximum = max(limit * ROW_BYTES, PIECE_COST)
        share = self._budget.take(maximum, deadline.sooner(ANSWERING_SECONDS), _busy())
        with contextlib.ExitStack() as failed:
            failed.callback(share.release)
            page = self._service.page(filters, number, limit, deadline)
            closing = _closing(page.total, number, limit)
            parts = self._parts(page, deadline)
            if all(isinstance(part, bytes) for part in parts):
                body = b"".join((_OPENING, b",".join(parts), closing))  # type: ignore[arg-type]  # they are bytes
                share.resize(len(body))
                response = Response(200, body, share=share)
            else:
                response = self._stream(parts, closing, share, deadline)
            failed.pop_all()
            return response

    def _parts(self, page: Page, deadline: Deadline) -> deque[Part]:
        if len(page.rows) <= PORTION:
            return deque(_encoded(page.orders(0, PORTION)))
        parts: deque[Part] = deque()
        for first in range(0, len(page.rows), PORTION):
            with self._turn(deadline):
                parts.extend(_encoded(page.orders(first, PORTION)))
        return parts

    def _stream(self, parts: deque[Part], closing: bytes, share: Share, deadline: Deadline) -> Response:
        """Return the page in pieces. The first is made now, so that its failure is answered as any other failure."""
        longest = max(_size(part) for part in parts if isinstance(part, Listed))
        held = sum(len(part) for part in parts if isinstance(part, bytes))
        share.resize(held + max(PIECE_COST, longest * (PIECE_COST // PIECE_BYTES)))
        pieces = self._pieces(parts, closing, deadline)
        return Response(200, b"", pieces=Stream(next(pieces), pieces, share), share=share)

    def _pieces(self, parts: deque[Part], closing: bytes, deadline: Deadline) -> Iterator[bytes]:
        before = _OPENING
        while parts:
            some = _next_parts(parts)
            yield b"".join((before, self._piece(some, deadline), b"" if parts else closing))
            before, deadline = b",", Deadline(REQUEST_SECONDS)

    def _piece(self, parts: list[Part], deadline: Deadline) -> bytes:
        lacking = [part for part in parts if isinstance(part, Listed)]
        orders = iter(self._service.with_texts(lacking, deadline))
        with self._turn(deadline):
            return b",".join(part if isinstance(part, bytes) else encode(next(orders).to_wire()) for part in parts)

    @contextlib.contextmanager
    def _turn(self, deadline: Deadline) -> Iterator[None]:
        """Run a block after those of other pages, and let the loop run other tasks before the next one."""
        with self._turns.take("page", deadline, _busy()):
            yield
            sleep(0)


class Stream(Iterator[bytes]):
    """The pieces of a body. Gives its share back when a piece fails or the end is reached, or when it is closed."""

    def __init__(self, first: bytes, others: Iterator[bytes], share: Share) -> None:
        self._first: bytes | None = first
        self._others = others
        self._share = share

    def __next__(self) -> bytes:
        first, self._first = self._first, None
        if first is not None:
            return first
        try:
            return next(self._others)
        except BaseException:
            self._share.release()
            raise

    def close(self) -> None:
        """Give the share back."""
        self._share.release()


def _busy() -> Refused:
    return Refused("service_busy", BUSY)


def _closing(total: int, number: int, limit: int) -> bytes:
    return b"]," + encode({"total": total, "pages": -(-total // limit), "page": number})[1:]


def _encoded(portion: list[Listed]) -> Iterator[Part]:
    for lacks_texts, found in groupby(portion, key=lambda listed: bool(listed.left_out)):
        if lacks_texts:
            yield from found
        else:
            yield encode([listed.order.to_wire() for listed in found])[1:-1]


def _next_parts(parts: deque[Part]) -> list[Part]:
    """Take the parts of the next piece: PIECE_BYTES together at most, or one part that is larger."""
    found = [parts.popleft()]
    size = _size(found[0])
    while parts and (size := size + _size(parts[0])) <= PIECE_BYTES:
        found.append(parts.popleft())
    return found


def _size(part: Part) -> int:
    return len(part) if isinstance(part, bytes) else part.bytes_left_out
