"""Apache Kafka's jars: fetched once from the public Maven repository, kept in the checkout."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.stack.errors import JarsMissing

VERSION = "4.1.1"
DOWNLOADS = Path(__file__).resolve().parents[2] / ".stack" / "downloads"
# slf4j-simple writes Kafka's log to standard error; without such a binding Kafka logs nothing.
_ENDPOINT = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple:1.7.36"
_FETCH_SECONDS = 180
# A process of its own gives the fetch a deadline, and keeps its settings and its log away from ours.
_FETCH = "import sys, pathlib, jgo; jgo.build(sys.argv[1], cache_dir=pathlib.Path(sys.argv[2]))"


def kafka_jars() -> Path:
    """Return the folder with all jars. The first call may block for 180 s. Raises JarsMissing."""
    jars = DOWNLOADS / f"kafka-{VERSION}"
    if not jars.exists():
        DOWNLOADS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=DOWNLOADS, prefix="fetch-", ignore_cleanup_errors=True) as scratch:
            _fetch_into(Path(scratch), jars)
    return jars


def _fetch_into(scratch: Path, jars: Path) -> None:
    print(f"Fetching Apache Kafka {VERSION} (about 45 MB, once) ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-c", _FETCH, _ENDPOINT, str(scratch / "cache")]
    environment = os.environ | {"M2_REPO": str(scratch / "repository")}
    try:
        subprocess.run(command, env=environment, capture_output=True, timeout=_FETCH_SECONDS, check=True, text=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        reason = str(error.stderr or "no answer").strip().splitlines()[-1].split(":")[0]
        raise JarsMissing(f"Apache Kafka's jars could not be fetched: {reason}.") from error
    complete = scratch / "jars"
    complete.mkdir()
    for jar in (scratch / "cache").rglob("*.jar"):
        shutil.copy(jar, complete / jar.name)
    try:
        complete.rename(jars)
    except OSError:
        if not jars.exists():  # otherwise another process was faster
            raise
