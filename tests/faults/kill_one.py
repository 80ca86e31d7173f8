"""kill -9 of one of two instances, again and again, under load."""

import random
import threading
import time

from tests.faults.row import Load
from tests.harness.service import Instance
from tests.harness.stack import SESSION_TIMEOUT_MS, Stack

QUIET_SECONDS = SESSION_TIMEOUT_MS / 1000 + 5
PAUSES = (1.0, 2.5)
NO_VICTIM_SECONDS = 60.0


class Killer:
    """Kills one of the instances that are ready, and starts it again without waiting for it."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self._ready = list(stack.instances)
        self._rng = random.Random(seed)
        self._restarts: list[threading.Thread] = []
        self._failures: list[str] = []
        self.kills = 0

    def strike(self) -> None:
        """Wait a pause, and until one is ready; kill it and begin its start. Raises TimeoutError."""
        time.sleep(self._rng.uniform(*PAUSES))
        give_up = time.monotonic() + NO_VICTIM_SECONDS
        while not self._ready:
            if time.monotonic() > give_up:
                raise TimeoutError(f"no instance is ready: {self._failures}")
            time.sleep(0.05)
        victim = self._ready.pop(self._rng.randrange(len(self._ready)))
        victim.kill()
        self.kills += 1
        restart = threading.Thread(target=self._restart, args=[victim], daemon=True)
        restart.start()
        self._restarts.append(restart)

    def heal(self) -> None:
        """Wait until all instances are ready again."""
        for restart in self._restarts:
            restart.join(NO_VICTIM_SECONDS)
        if self._failures:
            raise RuntimeError(self._failures[0])

    def _restart(self, victim: Instance) -> None:
        try:
            victim.start()
        except Exception as error:  # noqa: BLE001 - told by heal(), in the thread that can fail the run
            self._failures.append(str(error))
            return
        self._ready.append(victim)


def kill_under_load(stack: Stack, load: Load, seed: int, times: int) -> Killer:
    """Kill so many times under load; return when all is ready again and the load has ended."""
    killer = Killer(stack, seed)
    with load.running(stack, seed):
        for _ in range(times):
            killer.strike()
        killer.heal()
    return killer
