"""A program that starts servers and is stopped, such as a row of the fault matrix past its limit, ends them."""

import subprocess
import sys
from pathlib import Path

from tests.harness.service import CHECKOUT
from tests.harness.stopping import stop

PROGRAM = """
import sys, time
from pathlib import Path
from tests.harness.stopping import stop_in_order
stop_in_order()
try:
    print("begun", flush=True)
    time.sleep(60)
finally:
    Path(sys.argv[1]).write_text("its servers are ended")
"""


def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    command = [sys.executable, "-c", PROGRAM, str(ended)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        stop(process)
        assert process.stderr is not None
        assert process.stderr.read() == b"stopped by SIGTERM\n"
    assert ended.exists()
    stop(process)  # nothing is left to stop
