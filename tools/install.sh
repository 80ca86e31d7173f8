#!/usr/bin/env bash
# Makes .venv with the packages of requirements-dev.txt. `make` calls this when a requirements file has changed. PYTHON
# names the interpreter; without PYTHON it is the first one that is new enough.
set -euo pipefail

fail() {
    echo "$*" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "No Python 3.11 or newer was found: install one, or name it: make PYTHON=/path/to/python3 ..."
}

if ! new_enough .venv/bin/python; then
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2> /dev/null \
        || fail "Python's venv module is missing: install it (Debian and Ubuntu: apt-get install python3-venv)."
    echo "Making .venv with $("$python" --version) ..." >&2
    "$python" -m venv --clear .venv
fi

echo "Installing the packages of requirements-dev.txt ..." >&2
pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
uv=(.venv/bin/python -m uv pip install --quiet --compile-bytecode --python .venv/bin/python)
# uv is five times as fast; where only pip knows how to reach the packages, pip installs them all.
if "${pip[@]}" "$(grep -oE '^uv==[0-9.]+' requirements-dev.txt)" && "${uv[@]}" --require-hashes -r requirements-dev.txt; then
    exit
fi
"${pip[@]}" --require-hashes -r requirements-dev.txt \
    || fail "The packages could not be installed: is the package index reachable?"
