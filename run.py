"""Entry point. `python run.py` starts gunicorn with gunicorn.conf.py, so a laptop runs what production runs."""

import sys

from app import create_app
from app.config.config import from_environment

app = create_app(from_environment())

if __name__ == "__main__":
    from gunicorn.app.wsgiapp import run

    sys.argv = ["gunicorn", "-c", "gunicorn.conf.py", "run:app"]
    run()
