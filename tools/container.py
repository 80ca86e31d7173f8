"""Carries out the Dockerfile's steps without a Docker engine: `python -m tools.container FOLDER`.

The program reads each instruction of the Dockerfile and carries it out in FOLDER, with its own environment: the copies,
the hashed install, the plain user, CMD and HEALTHCHECK. An unknown instruction stops the program, so it cannot pass
over a part of the Dockerfile. The addresses come from the environment.

The service runs as docker-compose.yml says: a read-only root file system with a small tmpfs for temporary files, no
capabilities, no new privileges. Where the kernel does not let the program make mounts (it is not root, or itself in a
container) the user's rights alone keep the service from writing elsewhere, and a line says so.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from string import Template
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
HEALTHY_SECONDS = 40.0
STOP_SECONDS = 30.0

# A namespace of mounts in which nothing can be written but TMPDIR, then the Dockerfile's user without any right.
_READ_ONLY = """
mount -o remount,bind,ro / && mount -t tmpfs -o size=16m,mode=1777,nosuid,nodev,noexec tmpfs "$TMPDIR" &&
exec setpriv --reuid "$0" --regid "$0" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
_NAMESPACE = ("unshare", "--mount", "--propagation", "private", "sh", "-c")
_PASSED_ON = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "PORT", "LANG")


class Disagreement(Exception):
    """The Dockerfile has a step that this program does not know, or a step does not work."""


@dataclass
class Image:
    """What the steps have built so far."""

    folder: Path
    arguments: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    command: list[str] = field(default_factory=list)
    health_check: list[str] = field(default_factory=list)

    @property
    def work(self) -> Path:
        """The folder that stands for WORKDIR."""
        return self.folder / "service"

    def run_environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Return the container's environment: the Dockerfile's, with what it is given to run with."""
        path = f"{self.folder / 'venv' / 'bin'}:/usr/sbin:/usr/bin:/bin"
        return {**self.environment, **given, "PATH": path, "TMPDIR": str(self.temporary)}

    @property
    def temporary(self) -> Path:
        """The folder that stands for /tmp."""
        return self.folder / "tmp"


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Return (instruction, arguments) of each line, continuation lines joined."""
    joined = re.sub(r"\\\n\s*", "", dockerfile)
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def build(folder: Path) -> Image:
    """Carry out the Dockerfile in an empty folder. Raises Disagreement and CalledProcessError."""
    image = Image(folder)
    image.temporary.mkdir(mode=0o1777)
    image.temporary.chmod(0o1777)
    for name, arguments in instructions((CHECKOUT / "Dockerfile").read_text()):
        _step(image, name, arguments)
    if image.user is None or not image.command or not image.health_check:
        raise Disagreement("the Dockerfile names no USER, CMD or HEALTHCHECK")
    return image


def _step(image: Image, name: str, arguments: str) -> None:
    arguments = Template(arguments).substitute(image.arguments)
    if name == "FROM":
        _check_python(arguments)
        venv.create(image.folder / "venv", with_pip=True)
    elif name == "ARG":
        image.arguments |= dict([arguments.split("=", 1)])
    elif name == "ENV":
        image.environment |= dict(pair.split("=", 1) for pair in shlex.split(arguments))
    elif name == "WORKDIR":
        image.work.mkdir()
    elif name == "COPY":
        *sources, target = shlex.split(arguments)
        for source in sources:
            _copy(source, image.work / (target + Path(source).name if target.endswith("/") else target))
    elif name == "RUN":
        _run(image, arguments)
    elif name == "USER":
        if image.user != arguments:
            raise Disagreement(f"USER {arguments} was never made")
    elif name == "HEALTHCHECK":
        image.health_check = json.loads(arguments[arguments.index("CMD ") + 4 :])
    elif name == "CMD":
        image.command = json.loads(arguments)
    elif name not in ("EXPOSE", "STOPSIGNAL"):
        raise Disagreement(f"{name} is an instruction that this program does not know")


def _check_python(base: str) -> None:
    match = re.fullmatch(r"python:(\d+\.\d+)\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", base)
    if match is None:
        raise Disagreement(f"the base image {base} is not a slim Python, pinned by its digest")
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if match[1] != ours:
        print(f"The Dockerfile has Python {match[1]}, this is {ours}.", file=sys.stderr)


def _is_sent(name: str) -> bool:
    """Tell whether .dockerignore lets the file or folder into the build; the last line that matches decides."""
    sent = True
    for line in (CHECKOUT / ".dockerignore").read_text().split():
        if fnmatch.fnmatch(name, line.lstrip("!")):
            sent = line.startswith("!")
    return sent


def _copy(source: str, target: Path) -> None:
    if not _is_sent(source):
        raise Disagreement(f".dockerignore keeps {source} out of the build")
    target.parent.mkdir(exist_ok=True)
    if (CHECKOUT / source).is_dir():
        shutil.copytree(CHECKOUT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(CHECKOUT / source, target)


def _run(image: Image, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "useradd":
        image.user = words[words.index("--uid") + 1]
        return
    if words[:2] != ["pip", "install"] or "--require-hashes" not in words:
        raise Disagreement(f"RUN {command} is a step that this program does not know")
    pip = image.folder / "venv" / "bin" / "pip"
    subprocess.run([str(pip), *words[1:], "--quiet"], cwd=image.work, check=True, timeout=300)


def start(image: Image) -> subprocess.Popen[bytes]:
    """Start the CMD as a plain user and wait until the HEALTHCHECK passes. Raises Disagreement."""
    given = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    prefix = rights(image)
    process = spawn(image, prefix, image.command, given)
    deadline = time.monotonic() + HEALTHY_SECONDS
    while spawn(image, prefix, image.health_check, given).wait(timeout=10) != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise Disagreement("the CMD never passed the HEALTHCHECK")
        time.sleep(0.2)
    return process


def spawn(
    image: Image, prefix: Sequence[str], command: Sequence[str], given: Mapping[str, str], **options: Any
) -> subprocess.Popen[bytes]:
    """Start a command in the container with the variables that it is given. `prefix`: what `rights` returned."""
    program = str(image.folder / "venv" / "bin" / command[0])
    environment = image.run_environment(given)
    return subprocess.Popen([*prefix, program, *command[1:]], cwd=image.work, env=environment, **options)


def rights(image: Image) -> list[str]:
    """Return what stands before CMD: a read-only root and no rights, as far as this machine allows it."""
    if os.geteuid() != 0:
        print("The root file system stays writable where this account may write.", file=sys.stderr)
        return []
    given: dict[str, Any] = {"cwd": image.work, "env": image.run_environment({}), "check": False, "timeout": 10}
    prefix = [*_NAMESPACE, _READ_ONLY, image.user or "", "--"]
    if subprocess.run([*prefix, "true"], **given, stderr=subprocess.DEVNULL).returncode == 0:
        _require_read_only(image, prefix, given)
        return prefix
    print("The root file system stays writable: this machine allows no mounts.", file=sys.stderr)
    return ["setpriv", "--reuid", image.user or "", "--regid", image.user or "", "--clear-groups", "--no-new-privs"]


def _require_read_only(image: Image, prefix: Sequence[str], given: Mapping[str, Any]) -> None:
    for folder, writable in ((image.work, False), (Path("/var/tmp"), False), (image.temporary, True)):  # noqa: S108
        done = subprocess.run([*prefix, "touch", str(folder / "written")], **given, stderr=subprocess.DEVNULL)
        if (done.returncode == 0) is not writable:
            raise Disagreement(f"{folder} is {'not ' if writable else ''}writable")


def make_order(port: str) -> int:
    """Make an order; return the status of the last answer. Waits until the schema is there."""
    items = [{"name": "noodles", "price": 9.5, "quantity": 1}]
    body = {"customer_id": "c", "order_details": {"foodItems": items, "deliveryLocation": "here"}}
    deadline = time.monotonic() + HEALTHY_SECONDS
    while True:
        connection = HTTPConnection("127.0.0.1", int(port), timeout=10)
        connection.request("POST", "/createOrder", json.dumps(body), {"Content-Type": "application/json"})
        status = connection.getresponse().status
        connection.close()
        if status != 503 or time.monotonic() > deadline:
            return status
        time.sleep(0.2)


def main() -> int:
    """Build, start, check, stop. Return the exit code."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        image = build(folder)
        process = start(image)
    except (Disagreement, subprocess.CalledProcessError) as error:
        print(f"The Dockerfile does not hold: {error}", file=sys.stderr)
        return 1
    print(f"healthy as pid {process.pid}, user {image.user}")
    print(f"createOrder answered {make_order(os.environ['PORT'])}")
    process.terminate()
    code = process.wait(STOP_SECONDS)
    print(f"stopped with {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
