"""`python app/server/settings.py` checks the settings: exit code 1 and a sentence where one cannot be used.

With `--for-master` the program prints the settings that gunicorn's master needs, as JSON.
"""

import sys
from pathlib import Path
from types import ModuleType

APP = Path(__file__).resolve().parents[1]


def main() -> None:
    """Read the settings without importing the service, which would take three times as long at each `make run`."""
    package = ModuleType("app")
    package.__path__ = [str(APP)]
    sys.modules["app"] = package
    from app.config.config import for_master

    found = for_master()
    if sys.argv[1:] == ["--for-master"]:
        print(found)


if __name__ == "__main__":
    main()
