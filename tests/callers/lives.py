"""A program that is killed with kill -9 at the first line that no life of it has printed before, again and again.

    python tests/callers/lives.py docs/examples/orchestrator.py saga.db paid

prints each line once. The program is a module with `main(arguments)` that prints by `say`. Each life is a fork of this
process, so it need not import anything again, and it kills itself: nothing happens between the line and its death.
"""

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType


def live(program: ModuleType, arguments: Sequence[str], known: set[str], news: int) -> None:
    """Live until a line is not known; write it to the descriptor `news` and die of it."""

    def say(line: str) -> None:
        if line not in known:
            os.write(news, line.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    program.__dict__["say"] = say
    program.main(list(arguments))


def one_life(program: ModuleType, arguments: Sequence[str], known: set[str]) -> tuple[str, int]:
    """Return the line that ended this life and 0, or no line and the exit code where the program came to its end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            live(program, arguments, known, writer)
            code = 0
        except SystemExit as end:
            print(end.code, file=sys.stderr, flush=True)
            code = 1
        finally:
            sys.stdout.flush()
        os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as news:
        line = news.read()
    return line, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> int:
    """Return the exit code of the last life."""
    script, *arguments = sys.argv[1:]
    sys.path[0] = str(Path(script).parent)  # in place of this folder, whose http.py is not the library's
    program, known = importlib.import_module(Path(script).stem), set[str]()
    while True:
        line, code = one_life(program, arguments, known)
        if code != -signal.SIGKILL:
            return code
        known.add(line)
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
