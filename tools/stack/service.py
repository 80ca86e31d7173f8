"""The order service as `make run` starts it: `python run.py` with the addresses of the stack."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tools.stack.errors import StackError
from tools.stack.server import Server

CHECKOUT = Path(__file__).resolve().parents[2]
_PROBE_SECONDS = 2
_NEAR = {"*": "127.0.0.1", "localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def check_settings(addresses: Mapping[str, str]) -> None:
    """Check the settings that the service will have with these addresses. Raises StackError with its sentence.

    Another process reads them: importing them here would import the whole service before anything starts.
    """
    command = [sys.executable, str(CHECKOUT / "app" / "server" / "settings.py")]
    done = subprocess.run(command, env=os.environ | addresses, stderr=subprocess.PIPE, text=True, timeout=60)
    if done.returncode != 0:
        raise StackError(done.stderr.strip())


class Service(Server):
    """The service. Its log goes to the terminal."""

    name = "the order service"
    start_seconds = 120.0
    stop_seconds = 40.0

    def __init__(self, folder: Path, port: int, settings: Mapping[str, str]) -> None:
        super().__init__(folder, port)
        self._settings = settings

    @property
    def url(self) -> str:
        """One address that the service listens on."""
        first = os.environ.get("HOST", "*").split(",")[0].strip().strip("[]")
        host = _NEAR.get(first, first)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def _prepare(self) -> list[str]:
        return [sys.executable, str(CHECKOUT / "run.py")]

    def _environment(self) -> Mapping[str, str]:
        return os.environ | self._settings | {"PORT": str(self.port)}

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, env=self._environment(), start_new_session=True
        )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=_PROBE_SECONDS) as answer:  # noqa: S310 - HTTP
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False
