"""The production server and the life cycle of the background threads: they start after the fork, in the worker, and
stop when SIGTERM arrives, not after the HTTP requests have drained."""

import runpy
import select
import socket
import struct
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

# By its path: importing it would import the service, of which the master must keep nothing (it says why).
_master = SimpleNamespace(**runpy.run_path(str(Path(__file__).resolve().parent / "app/server/master.py")))
_settings = _master.settings()

STAY_MS = 2
RECEIVE_SECONDS = 2  # between two packets of a request
SEND_SECONDS = 5  # without a byte taken; a page of a thousand orders may go over a slow line
_PATIENCE = (
    (socket.SO_RCVTIMEO, struct.pack("ll", RECEIVE_SECONDS, 0)),
    (socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0)),
)


class DrainingWorker(ThreadWorker):
    """Takes the connections that the kernel has accepted for it before it stops: closing would reset their clients.

    It tells each request how long it has waited for a thread: that is part of the time in which it must be answered.
    A client that stops in the middle of its request, or of reading the answer, does not keep a thread.
    A thread stays with its connection for a moment, as long as nobody waits for one: a client that asks again at once
    is spared the way through the main thread's poller.
    """

    def init_process(self):
        from app.config.config import from_environment
        from app.utils.deadline import queued_seconds
        from app.utils.logging import configure
        from app.utils.memory import give_back_what_is_free

        self.settings = from_environment()
        self.queued_seconds = queued_seconds
        configure(self.settings.log_level, self.settings.log_format)
        give_back_what_is_free()
        super().init_process()

    def enqueue_req(self, conn):
        conn.queued_at = time.monotonic()
        if not conn.initialized:
            for option, seconds in _PATIENCE:
                conn.sock.setsockopt(socket.SOL_SOCKET, option, seconds)
        super().enqueue_req(conn)

    def handle(self, conn):
        self.queued_seconds.set(time.monotonic() - conn.queued_at)
        kept = super().handle(conn)
        while kept is True and self.alive and self._asks_again(conn):
            self.queued_seconds.set(0.0)
            kept = super().handle(conn)
        return kept

    def _asks_again(self, conn):
        if conn.is_http2 or conn.parser.unreader.buf.getvalue() or not self.tpool._work_queue.empty():
            return False
        readable = select.poll()
        readable.register(conn.sock, select.POLLIN)
        return bool(readable.poll(STAY_MS))

    def set_accept_enabled(self, enabled):
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            before = None
            while before != self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()


bind = _master.addresses(_settings)
raw_env = _master.environment_of_workers(_settings)
worker_class = DrainingWorker
workers = _settings["web_concurrency"]
threads = _settings["web_threads"]
keepalive = 75
timeout = 30
graceful_timeout = _settings["graceful_timeout"]
limit_request_line = 8190
limit_request_field_size = 32 * 1024
sendfile = False  # the system's call waits for a client without end
control_socket_disable = True
accesslog = None

_LOOK_SECONDS = 0.1


def _write_json_error(sock, status, reason, message):
    from app.api.server_errors import response_bytes

    util.write_nonblock(sock, response_bytes(status))


# Every worker class answers through this function what it refuses before Flask; there is no setting for it.
util.write_error = _write_json_error
_master.keep_ipv6_apart()


def on_starting(server):
    """Let the master log the same way, look at its addresses, and be careful at SIGHUP."""
    on_reload(server)
    _master.check_listening(server)
    _master.prepare_signals(server)


def on_reload(server):
    """Let the master log as the settings say now."""
    _master.log_as(_settings)


def pre_exec(server):
    """Let the master that SIGUSR2 starts read the settings itself."""
    _master.forget_settings(server)


def pre_request(worker, req):
    """Tell the service what it cannot see: that a client sent two keys."""
    from app.api.requests import tell_repeated_keys

    tell_repeated_keys(req.headers)


def worker_exit(server, worker):
    """Let the background threads stop whatever ended the worker, a master that was killed too."""
    worker.alive = False


def post_worker_init(worker):
    """Start the background threads of this worker, and one that stops them as soon as the worker is told to stop."""
    from app.utils.placement import Placement, take_turns

    placement = None
    if worker.settings.cpu_affinity == "one":
        take_turns()
        placement = Placement(worker.age)
    service = worker.wsgi.extensions["kafka_service"]
    service.start()

    def watch_the_worker():
        pause = threading.Event()
        while worker.alive:
            pause.wait(_LOOK_SECONDS)
            if placement is not None:
                placement.look()
        service.stop()

    threading.Thread(target=watch_the_worker, name="worker-watch").start()
