"""Threads that allocate one after the other do not need an arena each; a collection looks at what is new."""

import subprocess
import sys

import pytest

THREADS = 12
PROGRAM = f"""
import ctypes, sys, threading
from app.server.memory import give_back_what_is_free
if sys.argv[1] == "tuned":
    give_back_what_is_free()
together = threading.Barrier({THREADS} + 1)
def allocate():
    kept = [bytes(5000) for _ in range(100)]
    together.wait(20)
    together.wait(20)
threads = [threading.Thread(target=allocate) for _ in range({THREADS})]
for thread in threads:
    thread.start()
together.wait(20)
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
report = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, report)
libc.fclose(report)
together.wait(20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's arenas")
def test_threads_share_two_arenas(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert arenas(tmp_path_factory, "as it is") > 2  # or this test proves nothing
    assert arenas(tmp_path_factory, "tuned") <= 2


def arenas(folders: pytest.TempPathFactory, how: str) -> int:
    """Return how many arenas a process has whose threads have all allocated."""
    report = folders.mktemp("arenas") / "report.xml"
    subprocess.run([sys.executable, "-c", PROGRAM, how, str(report)], check=True, timeout=60)
    return report.read_text().count("<heap nr=")


LEAVES_ALONE = """
import gc, app
from app.server.memory import leave_alone_what_stays
before = len(gc.get_objects())
leave_alone_what_stays()
print(before, len(gc.get_objects()))
"""


def test_what_a_worker_has_loaded_is_not_looked_at_again() -> None:
    done = subprocess.run([sys.executable, "-c", LEAVES_ALONE], check=True, capture_output=True, text=True, timeout=60)
    before, after = map(int, done.stdout.split())
    assert before > 50_000
    assert after < 100
