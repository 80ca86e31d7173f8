"""`python -m tests.simulation`: play seeds, print the figures, and the steps of the first that is wrong."""

import argparse
import sys
import time
from collections.abc import Sequence

from tests.simulation.ablations import ABLATIONS, NOTHING
from tests.simulation.story import play, play_all


def main(arguments: Sequence[str]) -> int:
    """Return 0 when every seed was clean, or when one found what is missing `--without` a protection."""
    asked = _parse(arguments)
    without = ABLATIONS.get(asked.without, NOTHING)
    if asked.steps:
        print(play(asked.first, without))
        return 0
    started = time.perf_counter()
    figures, wrong = play_all(range(asked.first, asked.first + asked.seeds), without)
    seconds = time.perf_counter() - started
    if wrong is not None and not asked.without:
        print(wrong, end="\n\n")
    for name, number in sorted(figures.items()):
        print(f"{number:10,}  {name}")
    print(f"{seconds:10,.1f}  seconds")
    if asked.without:
        found = f"shows at seed {wrong.seed}: {'; '.join(wrong.wrong)}" if wrong else "does not show"
        print(f"without {asked.without}: {found}")
    return int((wrong is None) == bool(asked.without))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Play seeds of the simulation.")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first one (%(default)s)")
    parser.add_argument("--without", choices=ABLATIONS, help="take a protection out, and see at which seed that shows")
    parser.add_argument("--steps", action="store_true", help="print the steps of the first seed, whatever comes of it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
