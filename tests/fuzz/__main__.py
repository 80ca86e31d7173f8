"""Fuzzes a target with atheris until RUNS inputs are done, or keeps the smallest corpus that reaches the same code.

    python -m tests.fuzz heads --runs 1000000
    python -m tests.fuzz heads --keep

A failing input is written to .fuzz/NAME/ with the trace on standard error, and the exit code is not 0. atheris comes
from requirements.txt beside this file; `make fuzz` installs it.
"""

import argparse
import logging
import sys
from pathlib import Path

from tests.fuzz.mutations import MAX_LENGTH

ROOT = Path(__file__).resolve().parents[2]
INSTRUMENTED = ["app", "h11", "jwt", "kafka"]
"""The packages whose branches guide atheris. Only `fuzz` imports them: nothing is instrumented that is there before."""


def main() -> None:
    """Fuzz, or keep."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    options.add_argument("target", choices=["decoder", "heads", "commands", "records", "credentials"])
    options.add_argument("--runs", type=int, default=1_000_000, help="inputs to try")
    options.add_argument("--keep", action="store_true", help="bring what the last runs found into the corpus")
    chosen = options.parse_args()
    found = ROOT / ".fuzz" / chosen.target
    found.mkdir(parents=True, exist_ok=True)
    logging.disable()
    if chosen.keep:
        from tests.fuzz.keeping import keep_smallest

        keep_smallest(chosen.target, found)
    else:
        fuzz(chosen.target, chosen.runs, found)


def fuzz(name: str, runs: int, found: Path) -> None:
    """Run atheris, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from tests.fuzz.targets import CORPUS, TARGETS, within_time, words
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    dictionary = found.with_suffix(".dict")
    dictionary.write_text("\n".join(words(name)))
    arguments = [f"-runs={runs}", f"-dict={dictionary}", f"-max_len={MAX_LENGTH}", f"-artifact_prefix={found}/failed-"]
    arguments += ["-timeout=20", "-print_final_stats=1", str(found), str(CORPUS / name)]
    atheris.Setup([sys.argv[0], *arguments], within_time(TARGETS[name]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
