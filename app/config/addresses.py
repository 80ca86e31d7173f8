"""The addresses of the development stack, which `make run` and `make stack` keep in a file while they run.

`flask` commands and the examples read the file, the service never does: only a person who runs a command in the
checkout, and has set neither address, means the stack that runs there.
"""

import fcntl
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

FILE = Path(__file__).resolve().parents[2] / ".stack" / "addresses.env"
NAMES = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")


def of_running_stack(file: Path = FILE) -> dict[str, str]:
    """Return the addresses while the stack runs, else nothing. Does not block, raises nothing.

    The program that wrote the file holds a lock on it until the program ends, also by a kill.
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

    Never one without the other: a command that writes to one system's database and another's broker would do harm.
    """
    if any(name in environment for name in NAMES):
        return {}
    return {name: value for name, value in of_running_stack(file).items() if name in NAMES}
