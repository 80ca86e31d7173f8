"""Entry point. `python run.py` starts gunicorn with gunicorn.conf.py, so a laptop runs what production runs."""

import json
import os
import runpy
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent


def main() -> None:
    """Start gunicorn. With `--check` start as far as it goes without servers, and print what the master needs."""
    os.chdir(CHECKOUT)
    if sys.argv[1:] == ["--check"]:
        import app.server.loop_server  # noqa: F401 - a worker imports it after its fork
        from app import create_app
        from app.config.config import for_master, from_environment
        from app.server.bridge import Bridge

        Bridge(create_app(from_environment()))
        print(for_master())
        return
    # Before gunicorn is imported: it reads WEB_CONCURRENCY itself, and shows a traceback for a bad one.
    master = runpy.run_path("app/server/master.py")
    os.environ[master["HANDED_OVER"]] = json.dumps(master["settings"]())
    from gunicorn.app.wsgiapp import run

    sys.argv = [str(CHECKOUT / "run.py"), "-c", "gunicorn.conf.py", "run:app"]  # SIGUSR2 runs this line again
    run()


if __name__ == "__main__":
    main()
else:
    # Before `app` is imported: setproctitle, where gunicorn brings it along, wipes it.
    _block = Path("/proc/self/environ")
    _started_with = _block.read_bytes() if _block.exists() else b""

    from app import create_app
    from app.cli.environment import answers_callers, environment
    from app.config.config import from_environment

    app = create_app(from_environment(environment(_started_with), answers_callers=answers_callers()))
