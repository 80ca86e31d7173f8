"""Leaves the addresses of the running stack where `flask` commands and the examples look (app/config/addresses.py)."""

import fcntl
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_NOTE = "# Written while the stack of this checkout runs; `. .stack/addresses.env` gives a shell the same.\n"


@contextmanager
def left_in(file: Path, addresses: Mapping[str, str]) -> Iterator[None]:
    """Keep the addresses in the file until the end. A lock on the file tells readers that this process lives."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    with fresh.open("w") as written:
        fcntl.flock(written, fcntl.LOCK_EX)
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in addresses.items())
        written.write(_NOTE + "".join(lines))
        written.flush()
        fresh.replace(file)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
