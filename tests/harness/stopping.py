"""How programs that start servers end: also when somebody asks them to, their servers end with them."""

import signal
import subprocess
import sys

STOPPED_SECONDS = 60.0


def stop_in_order() -> None:
    """From now on SIGTERM ends this program as Ctrl-C does, through every `finally`. For the main thread."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a program to end, if it runs, and end it after STOPPED_SECONDS."""
    process.terminate()
    try:
        process.wait(STOPPED_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
