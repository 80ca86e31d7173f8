"""`python app/server/settings.py`: a sentence and exit code 1 for settings that cannot be used, or nothing.

With `--for-master` it prints what gunicorn's master needs to know of them, as JSON.
"""

import sys
from pathlib import Path
from types import ModuleType

APP = Path(__file__).resolve().parents[1]


def main() -> None:
    """Read the settings without importing the service: that takes three times as long, and `make run` has no time."""
    package = ModuleType("app")
    package.__path__ = [str(APP)]
    sys.modules["app"] = package
    from app.config.config import for_master

    found = for_master()
    if sys.argv[1:] == ["--for-master"]:
        print(found)


if __name__ == "__main__":
    main()
