"""The addresses of the development stack, as `make run` and `make stack` leave them in the checkout while they run.

`flask` commands and the examples find them there. The service itself never looks: only who runs a command by hand in
the checkout of a running stack, and has not said where the database and the broker are, means that one.
"""

import fcntl
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

FILE = Path(__file__).resolve().parents[2] / ".stack" / "addresses.env"
NAMES = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")


def of_running_stack(file: Path = FILE) -> dict[str, str]:
    """Return the addresses while the program that wrote them lives, else nothing. Does not block, raises nothing.

    That program holds a lock on the file, which ends with it, whatever ends it.
    """
    try:
        with file.open() as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return {name: value for name, value in dotenv_values(file).items() if value}
    except OSError:
        pass
    return {}


def where_not_told(environment: Mapping[str, str], file: Path = FILE) -> dict[str, str]:
    """Return the running stack's addresses where `environment` names neither the database nor the broker.

    Never one of the two: a command that writes to one world's database and the other's broker would do harm.
    """
    if any(name in environment for name in NAMES):
        return {}
    return {name: value for name, value in of_running_stack(file).items() if name in NAMES}
