"""Secrets in files: read one, and see when files got another content.

Tools that change a secret replace the file, write over it, or swap a symbolic link to its folder (Kubernetes). So a
path is looked up anew each time, and its content decides.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

LARGEST_SECRET = 64 * 1024
UNSETTLED_SECONDS = 2.0  # two changes within a file system's tick can have one time, and one size

_Look = tuple[int, ...] | None


class SecretUnusable(ValueError):
    """A file holds no usable secret. The sentence follows the name of the variable and shows nothing of the content."""


def read_secret(path: str | Path) -> str:
    """Return the file's one line of text, without its line end. Blocks for a file's read; raises SecretUnusable."""
    text = read_text(path)
    secret = re.sub(r"\r?\n\Z", "", text)
    if not secret:
        raise SecretUnusable(f"names an empty file: {path}")
    if re.search(r"[\r\n\0]", secret):
        raise SecretUnusable(f"names a file that must have one line of text: {path}")
    return secret


def read_text(path: str | Path) -> str:
    """Return the text of the file. Blocks for a file's read; raises SecretUnusable if it is missing, large or not
    UTF-8."""
    try:
        with Path(path).open("rb") as opened:
            found = opened.read(LARGEST_SECRET + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        shown = f": {path}" if os.path.lexists(path) else ""  # what is no path may be the secret itself
        raise SecretUnusable(f"names a file that cannot be read{shown} ({why})") from None
    if len(found) > LARGEST_SECRET:
        raise SecretUnusable(f"names a file larger than {LARGEST_SECRET // 1024} KiB: {path}")
    try:
        return found.decode()
    except UnicodeDecodeError:
        raise SecretUnusable(f"names a file that is not UTF-8: {path}") from None


def read_for(variable: str, path: str, read: Callable[[str], str] = read_secret) -> str:
    """As `read`. The sentence of SecretUnusable begins with the name of the variable that has the path."""
    try:
        return read(path)
    except SecretUnusable as unusable:
        raise SecretUnusable(f"{variable} {unusable}") from None


class WatchedFiles:
    """Some files as they are at the beginning. Make it before you read them, or a change between the two is missed."""

    def __init__(self, paths: Iterable[str | Path]) -> None:
        """Blocks for a read per file. Raises nothing: a file that cannot be read counts as one without content."""
        self._paths = tuple(map(Path, paths))
        self._looks = self._look()
        self._contents = self._read()
        self._changed = False

    def changed(self) -> bool:
        """Tell whether a file has another content than at the beginning.

        Blocks for a `stat` per file, and for a read per file after something moved.
        """
        looks = self._look()
        if looks != self._looks or not _settled(looks):
            self._looks = looks
            self._changed = self._read() != self._contents
        return self._changed

    def _look(self) -> list[_Look]:
        return [_stat(path) for path in self._paths]

    def _read(self) -> list[bytes | None]:
        return [_hash(path) for path in self._paths]


def _settled(looks: Iterable[_Look]) -> bool:
    """Tell whether a change from now on must give each file another time."""
    before = time.time_ns() - int(UNSETTLED_SECONDS * 1e9)
    return all(look is None or look[-1] < before for look in looks)


def _stat(path: Path) -> _Look:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _hash(path: Path) -> bytes | None:
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").digest()
    except (OSError, ValueError):
        return None
