"""Debian's slowhttptest, in its four modes at once, against a running service: callers are answered meanwhile.

Slow heads (slowloris), slow bodies, overlapping ranges, and answers that are read slowly. Each attacker has 300
connections for ten seconds.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.harness.load import ORDER_DETAILS, Connection
from tests.harness.service import Instance
from tests.harness.waiting import until
from tools.stack.errors import StackError

PROGRAM = shutil.which("slowhttptest")
CONNECTIONS = 300
SECONDS = 10
SLOWEST = 2.0  # seconds that a caller waits at most, on a machine that others use too; half of what [H1] promises
LARGE = "/apidocs/swagger-ui-5.35.0/swagger-ui-bundle.js"
MODES = {
    "slow heads": ["-H", "-i", "1", "-t", "GET", "-u", "/orders"],
    "slow bodies": ["-B", "-i", "1", "-s", "8192", "-t", "POST", "-u", "/createOrder"],
    "ranges": ["-R", "-t", "HEAD", "-a", "5", "-b", "3000", "-u", LARGE],
    "slow reading": ["-X", "-k", "3", "-w", "64", "-y", "256", "-n", "1", "-z", "32", "-u", LARGE],
}
HOLDING = ("slow heads", "slow bodies", "slow reading")
"""The modes whose connections last. Ranges are not kept: the service sends the whole file, and the client goes."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def attack(mode: str, port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run one mode for SECONDS; its output is a file named after it."""
    if PROGRAM is None:
        raise StackError("slowhttptest is not installed: `apt-get install slowhttptest` on Debian.")
    *options, path = MODES[mode]
    command = [PROGRAM, *options, f"http://127.0.0.1:{port}{path}", "-c", str(CONNECTIONS), "-r", str(CONNECTIONS)]
    with (folder / f"{mode}.txt").open("wb") as output:
        process = subprocess.Popen([*command, "-l", str(SECONDS), "-p", "3"], stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def reported(folder: Path, mode: str, what: str) -> list[str]:
    """Return what the attacker reported, every five seconds, under this name."""
    text = _COLOUR.sub("", (folder / f"{mode}.txt").read_text(errors="replace"))
    return re.findall(rf"^{what}: *(\w+)", text, re.MULTILINE)


def test_callers_are_answered_while_all_four_modes_attack(service: Instance, tmp_path: Path) -> None:
    """[H1] Soon; afterwards nothing is left of the attack."""
    waited: list[float] = []
    with ExitStack() as stack, Connection([service.port]) as caller:
        attackers = [stack.enter_context(attack(mode, service.port, tmp_path)) for mode in MODES]
        until(lambda: service.metric("order_http_connections") > CONNECTIONS, "the attack")
        end = time.monotonic() + SECONDS
        while any(attacker.poll() is None for attacker in attackers) and time.monotonic() < end + SECONDS:
            started = time.monotonic()
            made = caller.call("POST", "/createOrder", {"customer_id": "c", "order_details": ORDER_DETAILS})
            waited.append(time.monotonic() - started)
            assert made is not None
            assert made[0] == 201
            started = time.monotonic()
            found = service.get(f"/getOrderDetails?orderId={made[1]['order_id']}")  # over a new connection
            waited.append(time.monotonic() - started)
            assert found[0] == 200
            time.sleep(0.02)
    assert len(waited) > SECONDS / SLOWEST
    assert max(waited) < SLOWEST
    for mode in MODES:
        assert set(reported(tmp_path, mode, "service available")) == {"YES"}
    for mode in HOLDING:
        assert max(map(int, reported(tmp_path, mode, "connected"))) > CONNECTIONS // 2
    until(lambda: service.metric("order_http_connections") < 10, "the end of the attackers' connections")
    assert service.metric("order_http_requests_in_work") <= 1
    assert "Traceback" not in service.log_text()
    waited.sort()
    print(f"{len(waited)} calls, median {waited[len(waited) // 2] * 1000:.0f} ms, longest {waited[-1] * 1000:.0f} ms")
