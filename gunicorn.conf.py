"""The production server and the life cycle of the background threads: they start after the fork, in the worker, and
stop when SIGTERM arrives, not after the HTTP requests have drained."""

import runpy
import threading
from pathlib import Path
from types import SimpleNamespace

# By its path: importing it would import the service, of which the master must keep nothing (it says why).
_master = SimpleNamespace(**runpy.run_path(str(Path(__file__).resolve().parent / "app/server/master.py")))
_settings = _master.settings()

bind = _master.addresses(_settings)
raw_env = _master.environment_of_workers(_settings)
worker_class = runpy.run_path(str(Path(__file__).resolve().parent / "app/server/worker.py"))["LoopWorker"]
workers = _settings["web_concurrency"]
keepalive = _settings["keep_alive_seconds"]
timeout = runpy.run_path(str(Path(__file__).resolve().parent / "app/utils/limits.py"))["WORKER_SILENT_SECONDS"]
graceful_timeout = _settings["graceful_timeout"]
control_socket_disable = True
accesslog = None

_LOOK_SECONDS = 0.1


_master.keep_ipv6_apart()


def on_starting(server):
    """Let the master log the same way, look at its addresses, and be careful at SIGHUP."""
    on_reload(server)
    _master.check_listening(server)
    _master.prepare_signals(server)


def on_reload(server):
    """Let the master log as the settings say now, and name those that do nothing."""
    _master.log_as(_settings)
    for sentence in _settings["gone"]:
        server.log.warning(sentence)


def pre_exec(server):
    """Let the master that SIGUSR2 starts read the settings itself."""
    _master.forget_settings(server)


def worker_exit(server, worker):
    """Let the background threads stop whatever ended the worker, a master that was killed too."""
    worker.alive = False


def post_worker_init(worker):
    """Start the background threads of this worker, and one that stops them as soon as the worker is told to stop."""
    service = worker.wsgi.extensions["kafka_service"]
    service.start()

    def watch_the_worker():
        pause = threading.Event()
        while worker.alive:
            pause.wait(_LOOK_SECONDS)
        service.stop()

    threading.Thread(target=watch_the_worker, name="worker-watch").start()
