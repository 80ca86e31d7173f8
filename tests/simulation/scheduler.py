"""Who goes on next: a discrete-event scheduler that owns the time, so that one seed is always the same story.

The code under test blocks as ordinary code does, so each actor (the consumer, the relay, the HTTP door of an instance)
has a thread to be suspended in, which is no more than a coroutine: one baton goes round, whoever has it runs, all
others wait for theirs. It changes hands in `sleep` only, to the actor whose time comes first, so nothing depends on the
operating system. Every call that leaves an actor for PostgreSQL or Kafka passes a `point` before it takes effect and
another one before its answer is used. There others go on for a while, there an instance can crash (Crash is raised in
all its actors, which begin anew later) or freeze (its actors go on long after, with the beliefs that they had, as after
SIGSTOP).
"""

import heapq
import random
from _thread import start_new_thread
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

LONGEST_LATENCY = 0.2
LONGEST_BACK_OFF = 1.0
AT_ONCE = 0.5  # the part of the points at which the actor goes on before all others


class Crash(BaseException):
    """The process of this actor is gone; nothing that it does on its way out reaches anybody."""


class Over(BaseException):
    """The story is at its end."""


@dataclass(eq=False)
class Instance:
    """A process: its actors live, freeze and die together."""

    name: str
    actors: list["Actor"] = field(default_factory=list)
    frozen_until: float = 0.0
    down_until: float = 0.0


class Actor:
    """One thread of an instance, suspended wherever it is not its turn."""

    def __init__(self, name: str, instance: Instance) -> None:
        self.name = name
        self.instance = instance
        self.ending: BaseException | None = None
        self.turn = 0
        self.baton = Lock()
        self.baton.acquire()


Turn = Actor | Callable[[], None]


class Scheduler:
    """Time, chance and the trace of one seed."""

    def __init__(self, seed: int, strike: Callable[[Instance, str], None]) -> None:
        """`strike` is called at every point with its label; it may crash or freeze the instance."""
        self.random = random.Random(seed)
        self.now = 0.0
        self.points = 0
        self.trace: list[tuple[float, str, str, tuple[object, ...]]] = []
        self.surprises: list[str] = []
        self._strike = strike
        self._turns: list[tuple[float, int, Turn]] = []
        self._counter = 0
        self._world = Actor("world", Instance("world"))
        self._current = self._world
        self._actors: list[Actor] = []
        self._over = False

    @property
    def instance(self) -> Instance:
        """The instance that acts."""
        return self._current.instance

    @property
    def ending(self) -> bool:
        """Whether the acting one only unwinds, so that nothing that it does may count."""
        return self._current.ending is not None

    def at(self, time: float, turn: Turn) -> None:
        """Let it be somebody's turn at `time`; a function must not call `point` or `sleep`."""
        self._counter += 1
        if isinstance(turn, Actor):
            turn.turn = self._counter  # an earlier one does not count any more
        heapq.heappush(self._turns, (time, self._counter, turn))

    def actor(
        self, name: str, instance: Instance, work: Callable[[], None], expected: tuple[type[Exception], ...]
    ) -> None:
        """Add an actor that does `work` again and again, after each crash and after each error.

        An error that is not `expected` is a surprise.
        """
        actor = Actor(f"{instance.name}.{name}", instance)
        instance.actors.append(actor)
        self._actors.append(actor)
        self.at(self.random.random() * LONGEST_LATENCY, actor)
        start_new_thread(self._live, (actor, work, expected))

    def run(self) -> None:
        """Let everybody act until `end` is called, and then unwind them all."""
        self._hand_over(self._world)
        for actor in self._actors:
            actor.ending = Over()
            actor.baton.release()
            self._world.baton.acquire()

    def end(self) -> None:
        """Come to the end."""
        self._over = True

    def note(self, text: str, *values: object) -> None:
        """Write a line into the trace; the values are put in where it is read."""
        self.trace.append((self.now, self._current.name, text, values))

    def point(self, label: str, *values: object) -> None:
        """Be where the world may change: others act, this instance may crash or freeze."""
        actor = self._current
        if actor.ending is not None:
            raise actor.ending
        self.points += 1
        self.note(label, *values)
        self._strike(actor.instance, label)
        chance = self.random.random()
        if chance > AT_ONCE or actor.ending is not None or actor.instance.frozen_until > self.now:
            self.sleep(LONGEST_LATENCY * chance**8)  # most answers are quick

    def call(self, label: str, effect: Callable[[], Any]) -> Any:
        """Return what `effect` returns: between two points, so that its answer may be lost or come late."""
        self.point(label)
        answer = effect()
        self.point(f"{label} answered %s", answer)
        return answer

    def sleep(self, seconds: float) -> None:
        """Go on `seconds` later; others act meanwhile. Raises Crash and Over."""
        actor = self._current
        if actor.ending is None:
            self.at(self.now + seconds, actor)
            self._hand_over(actor)
        if actor.ending is not None:
            raise actor.ending

    def crash(self, instance: Instance, down_seconds: float) -> None:
        """Kill the instance; it starts again later."""
        self.note(f"{instance.name} CRASHES, is back in {down_seconds:.1f} s")
        instance.frozen_until = 0.0
        instance.down_until = self.now + down_seconds
        for actor in instance.actors:
            actor.ending = Crash()
            self.at(self.now, actor)

    def freeze(self, instance: Instance, seconds: float) -> None:
        """Stop the instance where it is."""
        self.note(f"{instance.name} FREEZES for {seconds:.1f} s")
        instance.frozen_until = self.now + seconds

    def _hand_over(self, actor: Actor) -> None:
        following = self._following()
        if following is not actor:
            following.baton.release()
            actor.baton.acquire()
        self._current = actor

    def _following(self) -> Actor:
        self._current = self._world
        while not self._over:
            self.now, number, turn = heapq.heappop(self._turns)
            if not isinstance(turn, Actor):
                self._take(turn)
            elif turn.turn == number:
                if turn.instance.frozen_until <= self.now:
                    return turn
                self.at(turn.instance.frozen_until, turn)
        return self._world

    def _take(self, turn: Callable[[], None]) -> None:
        try:
            turn()
        except Exception as error:  # noqa: BLE001 - whoever happens to be suspended must not get it
            self.surprises.append(f"the world raised {error!r}")
            self.end()

    def _live(self, actor: Actor, work: Callable[[], None], expected: tuple[type[Exception], ...]) -> None:
        actor.baton.acquire()
        self._current = actor
        pause = 0.0
        while not isinstance(actor.ending, Over):
            pause = self._try(actor, pause, work, expected)
        self._world.baton.release()

    def _try(
        self, actor: Actor, pause: float, work: Callable[[], None], expected: tuple[type[Exception], ...]
    ) -> float:
        """Work, after a pause, until something ends it; return the pause before the next try."""
        try:
            self.sleep(pause)
            work()
        except Crash:
            actor.ending = None
            return max(actor.instance.down_until - self.now, 0.0)
        except Over:
            pass
        except Exception as error:  # noqa: BLE001 - as the supervisor does: the thread comes back
            self.note(f"{type(error).__name__}: {error}")
            if not isinstance(error, expected):
                self.surprises.append(f"{actor.name} raised {error!r}")
        return LONGEST_BACK_OFF * self.random.random()
