"""What gunicorn's master does for its workers: the settings, the addresses to listen on, SIGHUP and SIGUSR2.

The master imports neither the service nor its libraries: gunicorn.conf.py loads this one file by its path, and another
process reads the settings. So every new worker imports the code that is on the disk at that moment, and SIGHUP after an
update runs the new release, schema and code alike. Before a SIGHUP ends anything, another process tries to start the
new release with the new settings: a bad line in `.env`, or a half copied file, stops no running service.
"""

import errno
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import Any

from gunicorn import sock

CHECKOUT = Path(__file__).resolve().parents[2]
HAS_READ_ENV_FILE = "ORDER_SERVICE_HAS_READ_ENV_FILE"  # as in app/config/config.py
HANDED_OVER = "ORDER_SERVICE_SETTINGS"
"""The settings as JSON, for the next run of gunicorn.conf.py in this process, from the code that has read them."""

READ_SECONDS = 60.0
START_SECONDS = 60.0
START_LOOK_SECONDS = 0.05
ALWAYS = b"\1"  # a release before this one, to which a SIGHUP leads back, does not tell
TAKEN_SECONDS = 5.0  # as long as gunicorn itself tries, because a predecessor may be about to end


def settings() -> dict[str, Any]:
    """Return the settings that the master needs. Ends the process with a sentence on a bad one."""
    handed_over = os.environ.pop(HANDED_OVER, None)
    if handed_over is None:
        read = run_in_a_process_of_its_own(["app/server/settings.py", "--for-master"], os.environ)
        if read.returncode != 0:
            sys.exit(read.stderr.strip())
        handed_over = read.stdout
    found: dict[str, Any] = json.loads(handed_over.splitlines()[-1])
    return found


def environment_of_workers(found: Mapping[str, Any]) -> list[str]:
    """Return `raw_env`: gunicorn sets these variables for the workers, and unsets them before it reads settings."""
    lines = {**found["env_file"], HAS_READ_ENV_FILE: "1"}
    return [f"{name}={value}" for name, value in lines.items()]


def addresses(found: Mapping[str, Any]) -> list[str]:
    """Return gunicorn's `bind`. `*` and `localhost` are IPv4 alone where the machine has no IPv6."""
    hosts: list[str] = []
    for host in found["host"]:
        pairs = {"*": ("0.0.0.0", "::"), "localhost": ("127.0.0.1", "::1")}  # noqa: S104 - only if HOST says so
        four, six = pairs.get(host, (host, None))
        hosts.append(four)
        if six is not None and _has(six):
            hosts.append(six)
    return [f"[{host}]:{found['port']}" if ":" in host else f"{host}:{found['port']}" for host in dict.fromkeys(hosts)]


def log_as(found: Mapping[str, Any]) -> None:
    """Let the master log as its workers do."""
    utils = CHECKOUT / "app/utils"
    handler = runpy.run_path(str(utils / "log_writer.py"))["LogWriter"]()
    runpy.run_path(str(utils / "logging.py"))["configure"](found["log_level"], found["log_format"], handler)


def keep_ipv6_apart() -> None:
    """Let gunicorn listen on `0.0.0.0` and `::` side by side; on most systems `::` takes both by default."""

    def bind(self: Any, listener: socket.socket) -> None:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(self.cfg_addr)

    sock.TCP6Socket.bind = bind


def require_free(wanted: Iterable[tuple[str, int]], seconds: float) -> None:
    """Raise OSError with a sentence where one of the addresses stays taken for `seconds`, or cannot be used at all."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with ExitStack() as probes:
                for host, port in wanted:
                    probes.enter_context(_bound(host, port))
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                why = {
                    errno.EADDRINUSE: f"PORT {port} on {host} is taken by another program",
                    errno.EADDRNOTAVAIL: f"HOST {host} is no address of this machine",
                    errno.EACCES: f"PORT {port} may not be listened on by this account",
                }.get(error.errno or 0, f"HOST {host} and PORT {port} cannot be listened on")
                raise OSError(why) from None
        time.sleep(0.1)


def check_listening(server: Any) -> None:
    """End the process with a sentence where its addresses are taken. Blocks for at most TAKEN_SECONDS."""
    if "GUNICORN_FD" in os.environ or "LISTEN_FDS" in os.environ:  # an older master, or systemd, hands the sockets over
        return
    try:
        require_free([address for address in server.cfg.address if isinstance(address, tuple)], TAKEN_SECONDS)
    except OSError as error:
        sys.exit(f"The service cannot start: {error}.")


def prepare_signals(server: Any) -> None:
    """Let SIGHUP try the new settings and the new code before it ends anything, and end a worker when its successor
    serves: to import the service takes seconds, in which gunicorn alone would let callers wait."""
    reload, manage = server.handle_hup, server.manage_workers

    def hang_up() -> None:
        refusal = _try_next(server)
        if refusal is not None:
            server.log.error("SIGHUP changes nothing: %s", refusal)
            return
        server.manage_workers = partial(_replace_workers, server)
        try:
            reload()
        finally:
            server.manage_workers = manage

    server.handle_hup = hang_up


def watch_start(worker: Any) -> None:
    """Give a worker that is about to be forked a byte that it shares with the master."""
    worker.serving = mmap(-1, 1)


def tell_serving(worker: Any) -> None:
    """Tell the master that this worker takes connections from now on."""
    worker.serving[0] = 1


def _replace_workers(server: Any) -> None:
    """End the workers from before a reload as soon as as many new ones serve. Blocks for START_SECONDS at the longest:
    then the old ones end all the same."""
    since = server.worker_age - server.cfg.workers
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        new = [worker for worker in server.WORKERS.values() if worker.age > since]
        if sum(getattr(worker, "serving", ALWAYS)[0] for worker in new) >= server.cfg.workers:
            break
        for _ in range(server.cfg.workers - len(new)):  # as many were killed meanwhile
            server.spawn_worker()
        time.sleep(START_LOOK_SECONDS)
        server.reap_workers()
        server.murder_workers()
    for pid, worker in list(server.WORKERS.items()):
        if worker.age <= since:
            server.kill_worker(pid, signal.SIGTERM)


def forget_settings(server: Any) -> None:
    """Let the new master after a SIGUSR2 read the settings itself."""
    server.cfg.env_orig.pop(HANDED_OVER, None)


def _try_next(server: Any) -> str | None:
    """Start the service as SIGHUP would, as far as that goes without servers. Return why it cannot start, else None."""
    environment = {name: value for name, value in os.environ.items() if name not in server.cfg.env}
    environment |= {name: server.cfg.env_orig[name] for name in server.cfg.env if name in server.cfg.env_orig}
    try:
        tried = run_in_a_process_of_its_own(["run.py", "--check"], environment)
    except subprocess.TimeoutExpired:
        return f"the service did not start within {READ_SECONDS:.0f} s."
    except OSError as error:  # no process, no memory, or no Python where it was
        return f"the service cannot be tried: {error.strerror or type(error).__name__}."
    if tried.returncode != 0:
        said = tried.stderr.strip().splitlines() or ["no reason was given"]
        return said[-1]
    try:
        found = json.loads(tried.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return "the service cannot be tried: it does not tell its settings."
    wanted = [_address(bind) for bind in addresses(found)]
    try:
        # The present addresses are taken: a worker holds them until it ends, and its successor starts before that.
        require_free([address for address in wanted if address not in server.cfg.address], 0)
    except OSError as error:
        return f"{error}."
    os.environ[HANDED_OVER] = tried.stdout
    return None


def run_in_a_process_of_its_own(
    command: list[str], environment: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run a file of the checkout with this Python. Blocks for READ_SECONDS; raises TimeoutExpired and OSError."""
    return subprocess.run(  # noqa: S603 - this Python, and files that the callers name
        [sys.executable, *command],
        cwd=CHECKOUT,
        env={**environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=READ_SECONDS,
    )


def _address(bind: str) -> tuple[str, int]:
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)


def _has(host: str) -> bool:
    try:
        _bound(host, 0).close()
    except OSError:
        return False
    return True


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address and does not listen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probe = socket.socket(family, socket.SOCK_STREAM)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((host, port))
    except OSError:
        probe.close()
        raise
    return probe
