"""Entry point. `python run.py` starts gunicorn with gunicorn.conf.py, so a laptop runs what production runs."""

import sys

from dotenv import load_dotenv

from app import create_app
from app.config.config import SettingsError

load_dotenv()
try:
    app = create_app()
except SettingsError as error:
    sys.exit(f"The service cannot start: {error}.")

if __name__ == "__main__":
    from gunicorn.app.wsgiapp import run

    sys.argv = ["gunicorn", "-c", "gunicorn.conf.py", "run:app"]
    run()
