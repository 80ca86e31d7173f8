"""What callers with good tokens see while somebody sends made-up ones, each under another key that there is not."""

import math
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tests.benchmarks.bench import Bench
from tests.benchmarks.cases import case
from tests.benchmarks.cases.get import gets
from tests.benchmarks.check import require
from tests.benchmarks.measure import Sample, interleaved
from tests.benchmarks.rounds import Reads
from tests.benchmarks.table import MADE, Result, sample_table
from tests.harness.provider import AUDIENCE, ISSUER, Provider, running, segment, signer

CALLERS = 8
MADE_UP = 10_000  # a round
BURST = 100
LEAST_SECONDS = 10.0  # of a round: a thousand made-up tokens a second
COOL_DOWN_SECONDS = 10.0
SIGNER = signer("RS256", "good")
REFUSED = b"HTTP/1.1 401 "
PATIENCE_SECONDS = 30.0
ALONE = f"getOrderDetails, {CALLERS} callers with a token"
SENT = f"made-up tokens, {MADE_UP:,} a round"
BESIDE = f"{ALONE}, beside {MADE_UP:,} made-up ones"


@case("made_up_keys", by_name=True)
def made_up_keys(bench: Bench) -> Result:
    """The same calls alone and beside the made-up tokens, in turn."""
    with running(SIGNER) as provider:
        ours = bench.ours(
            bench.database("made_up_keys", min(MADE, bench.options.orders)),
            AUTH_MODE="jwt",
            JWT_JWKS_URL=provider.url,
            JWT_ISSUER=ISSUER,
            JWT_AUDIENCE=AUDIENCE,
        )
        ours.database.settle_loaded()
        reads = gets(bench, ours, connections=CALLERS, credential=SIGNER.token(exp=int(time.time()) + 3600))
        found = interleaved(
            [replace(reads, name=ALONE), Beside(replace(reads, name=BESIDE), provider)],
            bench.options.rounds,
            max(bench.options.seconds, LEAST_SECONDS),
        )
    return Result(sections={"made_up_keys": [*judgement(found), "", *sample_table(found)]})


def judgement(found: Mapping[str, Sample]) -> list[str]:
    """Return what the callers kept of their rate, and what a made-up token cost, in sentences."""
    alone, beside, made_up = found[ALONE], found[BESIDE], found[SENT]
    kept = (beside.rate or 0.0) / (alone.rate or math.nan)
    more = (beside.server_cpu or math.nan) - (alone.server_cpu or math.nan)  # ms for each read
    cost = more * (beside.rate or math.nan) / (made_up.rate or math.nan)
    return [f"The callers kept {kept:.0%} of their rate. A made-up token took {cost:.2f} ms of the service's CPU."]


@dataclass
class Beside:
    """Rounds of reads beside made-up tokens, spread over the round."""

    reads: Reads
    provider: Provider

    def __call__(self, seconds: float) -> Mapping[str, Sample]:
        """Measure one round. Raises Wrong where one was not answered 401, or where they caused too many fetches."""
        fetches = self.provider.fetches
        answered: list[int] = []
        port = self.reads.served.port
        sender = threading.Thread(target=lambda: answered.append(send_made_up(port, seconds)), name="made-up")
        began = time.monotonic()
        sender.start()
        found = self.reads(seconds)
        sender.join(PATIENCE_SECONDS)
        most = (time.monotonic() - began) / COOL_DOWN_SECONDS + 1
        require(answered == [MADE_UP], f"{answered} of {MADE_UP} made-up tokens were answered 401")
        fetches = self.provider.fetches - fetches
        require(fetches <= most, f"{fetches} fetches in a round, {most:.0f} are allowed")
        return found | {SENT: Sample(rate=MADE_UP / seconds)}


def send_made_up(port: int, seconds: float) -> int:
    """Send them in bursts over so many seconds; return how many were answered 401.

    All over one connection, and whole bursts at a time: the sender must not take the CPU that it is about.
    """
    answers = 0
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        began = time.monotonic()
        for number, burst in enumerate(bursts()):
            time.sleep(max(began + number * seconds * BURST / MADE_UP - time.monotonic(), 0))
            connection.sendall(burst)
            left, tail = BURST, b""
            while left:
                received = connection.recv(1 << 16)
                if not received:
                    return answers
                received = tail + received
                found = received.count(REFUSED)
                tail = received[len(received) - len(REFUSED) + 1 :]
                answers, left = answers + found, left - found
    return answers


def bursts() -> Iterator[bytes]:
    """Yield the requests."""
    _, claims, signature = SIGNER.token().split(".")
    for first in range(0, MADE_UP, BURST):
        tokens = (f"{segment(header(number))}.{claims}.{signature}" for number in range(first, first + BURST))
        lines = (f"GET /orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n" for token in tokens)
        yield "".join(lines).encode()


def header(number: int) -> bytes:
    """Return the header of a made-up token."""
    return b'{"alg":"RS256","kid":"made-up-%d","typ":"JWT"}' % number
