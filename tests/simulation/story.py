"""A seed played: what was wrong, the steps, the figures. The same seed is the same story, everywhere."""

import logging
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from tests.simulation.ablations import NOTHING, Ablation
from tests.simulation.checks import End, check
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Story:
    """One seed."""

    seed: int
    end: End
    wrong: list[str]
    figures: Counter[str]
    _world: World

    def steps(self) -> Iterator[str]:
        """Yield a line for each step: when, who, what."""
        for time, name, text, values in self._world.scheduler.trace:
            yield f"{time:8.3f}  {name:<12}  {text % values if values else text}"

    def __str__(self) -> str:
        """Tell all of it, and how to see it again."""
        again = f"python -m tests.simulation --first {self.seed} --seeds 1"
        return "\n".join([f"seed {self.seed}", *self.steps(), f"wrong with seed {self.seed}:", *self.wrong, again])


def play(seed: int, without: Ablation = NOTHING) -> Story:
    """Play one seed."""
    return next(stories([seed], without))


def play_all(seeds: Iterable[int], without: Ablation = NOTHING) -> tuple[Counter[str], Story | None]:
    """Play seeds until something is wrong with one; return the sum of the figures, and that one."""
    figures: Counter[str] = Counter()
    with closing(stories(seeds, without)) as played:
        for story in played:
            figures += story.figures
            figures["seeds"] += 1
            if story.wrong:
                return figures, story
    return figures, None


def stories(seeds: Iterable[int], without: Ablation = NOTHING) -> Generator[Story, None, None]:
    """Play one seed after the other. Nothing is logged meanwhile, and the protection is missing."""
    logging.disable(logging.CRITICAL)
    try:
        with without.taken_out() as effects:
            for seed in seeds:
                world = World(seed, effects)
                end = world.run()
                yield Story(seed, end, check(end), world.figures, world)
    finally:
        logging.disable(logging.NOTSET)
