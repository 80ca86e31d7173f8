"""gunicorn's worker: the life of the process, its signals and its event loop. loop_server.py serves the requests.

The master loads this file by its path and must not import the service (master.py says why): the worker imports the
service, inside its functions.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from gunicorn.workers.base import Worker

BEAT_SECONDS = 1.0
STOP_LOOK_SECONDS = 0.02
SWITCH_SECONDS = 0.0005  # the loop waits at most so long for a thread that computes; decision 18 has figures


class LoopWorker(Worker):
    """One event loop. The master ends a worker that is silent for `timeout` seconds.

    `metrics_folder`: where the workers of the master keep their counters, None where there is no room.
    """

    metrics_folder: Path | None = None

    def init_process(self) -> None:
        """Make the loop, then do what every worker does: signals, the application, `run`."""
        from app.config.config import from_environment
        from app.server.memory import give_back_what_is_free
        from app.utils.log_writer import LogWriter
        from app.utils.logging import configure

        settings = from_environment()
        configure(settings.log_level, settings.log_format, LogWriter())
        self._keep_metrics()
        give_back_what_is_free()
        sys.setswitchinterval(SWITCH_SECONDS)
        self.loop = _new_loop()
        asyncio.set_event_loop(self.loop)
        super().init_process()

    def _keep_metrics(self) -> None:
        from app.utils.metric_files import keep_in

        if self.metrics_folder is not None:
            try:
                keep_in(self.metrics_folder)
            except OSError as error:
                self.log.error("this worker counts for itself alone: %s", error)

    def init_signals(self) -> None:
        """Let the loop handle signals, between two callbacks."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self.loop.add_signal_handler(signal.SIGTERM, self._stop)
        self.loop.add_signal_handler(signal.SIGINT, self._quit)
        self.loop.add_signal_handler(signal.SIGQUIT, self._quit)
        self.loop.add_signal_handler(signal.SIGUSR1, self.log.reopen_files)
        self.loop.add_signal_handler(signal.SIGWINCH, lambda: None)
        signal.signal(signal.SIGABRT, self.handle_abort)  # the loop may be what is stuck

    def run(self) -> None:
        """Serve until a signal asks to stop, then finish the accepted requests within `graceful_timeout` seconds."""
        from app.server.memory import leave_alone_what_stays

        leave_alone_what_stays()
        self._stopped = asyncio.Event()
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            self.alive = False

    async def _serve(self) -> None:
        from app.server.bridge import Bridge
        from app.server.loop_server import LoopServer

        server = LoopServer(self.loop, Bridge(self.wsgi), self.cfg.keepalive)
        await server.start(listener.sock for listener in self.sockets)
        self._beat()
        await self._stopped.wait()
        await server.drain()
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while not server.is_empty and time.monotonic() < deadline:
            await asyncio.sleep(STOP_LOOK_SECONDS)
        await server.cut_off()

    def _beat(self) -> None:
        self.notify()
        if self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            self._stop()
        self.loop.call_later(BEAT_SECONDS, self._beat)

    def _stop(self) -> None:
        self.alive = False
        self._stopped.set()

    def _quit(self) -> None:
        self.alive = False
        self.cfg.worker_int(self)
        sys.exit(0)


def _new_loop() -> Any:
    """Return uvloop's event loop, or asyncio's own where uvloop is not installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
