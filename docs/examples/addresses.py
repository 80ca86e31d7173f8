"""Addresses of the service and its broker: from the environment, else from a running `make run` of this checkout."""

import fcntl
import os
import shlex
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / ".stack" / "addresses.env"


def address(name: str, default: str) -> str:
    """Return the address with that name."""
    return os.environ.get(name) or _of_running_stack().get(name) or default


def _of_running_stack() -> dict[str, str]:
    try:
        with FILE.open() as opened:
            text = opened.read()
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # `make run` holds the lock while it runs
        lines = [shlex.split(line, comments=True) for line in text.splitlines()]
        return dict(words[1].split("=", 1) for words in lines if words)
    except OSError:
        pass
    return {}
