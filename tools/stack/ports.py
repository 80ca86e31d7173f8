"""Which TCP ports of 127.0.0.1 are free."""

import random
import socket
import time

from tools.stack.errors import PortTaken, StackError

# Below the ports of outgoing connections (Linux from 32768, macOS from 49152): a client that retries such a port while
# its server is down can connect to itself, and then keeps the port from the server that comes back.
_CANDIDATES = range(20_000, 32_000)
_TRIES = 100
_PATIENCE_SECONDS = 1.0


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nothing listens on. Raises StackError after 100 misses."""
    for _ in range(_TRIES):
        port = random.choice(_CANDIDATES)  # noqa: S311 - no secret
        if is_free(port):
            return port
    raise StackError("No free port between 20000 and 32000 was found on 127.0.0.1.")


def require_free(port: int, wanted_by: str) -> None:
    """Raise PortTaken where the port stays taken for a second; a killed server releases its port sooner."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not is_free(port):
        if time.monotonic() > deadline:
            raise PortTaken(f"Port {port} on 127.0.0.1, wanted for {wanted_by}, is taken by another program.")
        time.sleep(0.05)
