"""The settings of gunicorn and the life cycle of the background threads.

The threads start in the worker, after the fork. They stop when SIGTERM arrives, not after the requests have drained.
"""

import runpy
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

_APP = Path(__file__).resolve().parent / "app"


def _run(file: str) -> dict[str, Any]:
    """Return the names of a file. Importing it would import the service, of which the master must keep nothing."""
    return runpy.run_path(str(_APP / file))


_master = SimpleNamespace(**_run("server/master.py"))
_metrics = SimpleNamespace(**_run("server/metrics_folder.py"))
_settings = _master.settings()

bind = _master.addresses(_settings)
raw_env = _master.environment_of_workers(_settings)
worker_class = _run("server/worker.py")["LoopWorker"]
workers = _settings["web_concurrency"]
keepalive = _settings["keep_alive_seconds"]
_limits = _run("utils/limits.py")
timeout = _limits["WORKER_SILENT_SECONDS"]
graceful_timeout = _settings["graceful_timeout"]
control_socket_disable = True
accesslog = None

_LOOK_SECONDS = 0.1
_KEYS_SECONDS = 1.5  # connections wait in the kernel so long at most until a new worker knows the API keys

_master.keep_ipv6_apart()


def on_starting(server: Arbiter) -> None:
    """Let the master log as its workers do, require free addresses, and try each SIGHUP before it ends anything."""
    on_reload(server)
    _master.check_listening(server)
    _master.prepare_signals(server)


def on_reload(server: Arbiter) -> None:
    """Let the master log as the settings say now, and name those that do nothing any more, or are not safe."""
    _master.log_as(_settings)
    for sentence in _settings["warnings"]:
        server.log.warning(sentence)


def pre_exec(server: Arbiter) -> None:
    """Let the master that SIGUSR2 starts read the settings itself."""
    _master.forget_settings(server)
    _metrics.hand_over(server)


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """Tell the worker where to count: with the others; and where to say that it serves."""
    worker.metrics_folder = _metrics.folder_of(server)
    _master.watch_start(worker)


def on_exit(server: Arbiter) -> None:
    """Remove what the workers counted."""
    _metrics.close(server)


def worker_exit(server: Arbiter, worker: Worker) -> None:
    """Let the background threads stop whatever ended the worker, also when the master was killed.

    Then the requests and the threads are at their end, so no further span comes.
    """
    worker.alive = False
    if (watcher := getattr(worker, "watcher", None)) is not None:
        watcher.join(_limits["WORKER_SILENT_SECONDS"])
        worker.wsgi.extensions["trace_export"].stop()


def post_worker_init(worker: Worker) -> None:
    """Start the background threads of this worker, and one that stops them as soon as the worker is told to stop."""
    worker.wsgi.extensions["trace_export"].start()
    service = worker.wsgi.extensions["kafka_service"]
    service.start()

    def watch_the_worker() -> None:
        pause = threading.Event()
        while worker.alive:
            pause.wait(_LOOK_SECONDS)
        service.stop()

    worker.watcher = threading.Thread(target=watch_the_worker, name="worker-watch")
    worker.watcher.start()
    if (api_keys := worker.wsgi.extensions["api_keys"]) is not None:
        api_keys.wait(_KEYS_SECONDS)
    _master.tell_serving(worker)
