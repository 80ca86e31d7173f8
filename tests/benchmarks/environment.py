"""The environments of what is measured beside this service: made in .stack/, anew when their parts change."""

import hashlib
import json
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path
from shutil import rmtree

from tests.harness.service import CHECKOUT

FOLDER = CHECKOUT / ".stack" / "benchmarks"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
FASTIFY = Path(__file__).parent / "peers" / "fastify"
PACKAGE_FILES = ("package.json", "package-lock.json")
OLDEST_NODE = 20


class NotInstalled(Exception):
    """The packages that the run needs could not be installed; the sentence says so."""


class LeftOut(Exception):
    """A member cannot take part in the run on this machine, which goes on without it; the sentence says why."""


def peers_python() -> Path:
    """Return the interpreter of the peers in Python. Raises NotInstalled."""
    return python_with(REQUIREMENTS, FOLDER)


def python_with(requirements: Path, folder: Path) -> Path:
    """Return an interpreter in the folder that has the required packages. Blocks while there is something to install,
    some seconds. Raises NotInstalled."""
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = _digest(requirements.read_bytes(), sys.version.encode())
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"Installing the packages of {requirements} ...", file=sys.stderr, flush=True)
    rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    options = ["--quiet", "--require-hashes", "-r", str(requirements)]
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--python", str(python), "--compile-bytecode"]
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    # As in tools/install.sh: where only pip knows how to reach the packages, pip installs them.
    if all(subprocess.run([*command, *options], check=False).returncode for command in (uv, pip)):
        raise NotInstalled(f"The packages of {requirements} could not be installed: is the package index reachable?")
    stamp.write_text(wanted)
    return python


def agrees(requirements: str) -> bool:
    """Tell whether this interpreter has the packages of a compiled requirements.txt, in the versions that it names."""
    for line in requirements.splitlines():
        name, found, version = line.partition(" \\")[0].partition("==")
        if not found or name.startswith((" ", "#")):
            continue
        version, _, marker = version.partition(" ; ")
        if not marker and _installed(name.partition("[")[0]) != version:
            return False
    return True


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def version_of(package: str, python: Path) -> str:
    """Return the version of a package that an interpreter has."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def node_modules() -> Path:
    """Return the folder of the packages that the peer on Node needs, installed by `npm ci`. Raises LeftOut."""
    require_node()
    folder = CHECKOUT / ".stack" / "benchmarks-node"
    stamp, files = folder / "installed", [FASTIFY / name for name in PACKAGE_FILES]
    wanted = _digest(*(file.read_bytes() for file in files), node_version().encode())
    if not stamp.exists() or stamp.read_text() != wanted:
        print("Installing the packages of tests/benchmarks/peers/fastify ...", file=sys.stderr, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        if subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False).returncode:
            raise LeftOut("the packages of the peer on Node could not be installed")
        stamp.write_text(wanted)
    return folder / "node_modules"


def require_node() -> None:
    """Raise LeftOut where there is no Node that is new enough, or no npm."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise LeftOut("Node is not installed here")
    if int(node_version().lstrip("v").partition(".")[0]) < OLDEST_NODE:
        raise LeftOut(f"Node {node_version()} is older than {OLDEST_NODE}")


def node_version() -> str:
    """Return Node's version, such as v20.1.0."""
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def node_versions() -> str:
    """Return the versions of Node and of the packages of the peer on it, for the document."""
    try:
        require_node()
    except LeftOut as reason:
        return f"no peer on Node: {reason}"
    packages: dict[str, str] = json.loads((FASTIFY / "package.json").read_text())["dependencies"]
    return ", ".join([f"Node {node_version()}", *(f"{name} {version}" for name, version in packages.items())])


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
