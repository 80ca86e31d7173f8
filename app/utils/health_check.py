"""The container's health check: `python -m app.utils.health_check` exits 0 when the service answers on its PORT."""

import os
import sys
import urllib.request

ANSWER_SECONDS = 4


def main() -> int:
    """Return 0 when `/health` answers 200, else 1."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{os.environ.get('PORT', '3000')}/health", timeout=ANSWER_SECONDS
        ) as answer:
            return 0 if answer.status == 200 else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
