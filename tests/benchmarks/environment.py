"""The environment of the peers: a venv in .stack/, installed anew when requirements.txt has changed."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path
from shutil import rmtree

from tests.faults.service import CHECKOUT

FOLDER = CHECKOUT / ".stack" / "benchmarks"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


class NotInstalled(Exception):
    """The peers' packages could not be installed; the sentence says so."""


def peers_python() -> Path:
    """Return the peers' interpreter. Blocks for the installation, some seconds, when there is something to install.

    Raises NotInstalled.
    """
    python, stamp = FOLDER / "bin" / "python", FOLDER / "installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print("Installing the packages of tests/benchmarks/requirements.txt ...", file=sys.stderr, flush=True)
    rmtree(FOLDER, ignore_errors=True)
    venv.create(FOLDER, with_pip=True)
    options = ["--quiet", "--require-hashes", "-r", str(REQUIREMENTS)]
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--python", str(python), "--compile-bytecode"]
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    # As in tools/install.sh: where only pip knows how to reach the packages, pip installs them.
    if all(subprocess.run([*command, *options], check=False).returncode for command in (uv, pip)):
        raise NotInstalled("The peers' packages could not be installed: is the package index reachable?")
    stamp.write_text(wanted)
    return python


def version_of(package: str, python: Path) -> str:
    """Return the version of a package that an interpreter has."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
