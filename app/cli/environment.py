"""The environment that a `flask` command means; for anything else it is the environment as it is."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from dotenv import dotenv_values, find_dotenv

from app.config.addresses import where_not_told
from app.config.config import ENV_FILE, SettingsError, env_file_values

ONLY_HTTP = (
    "`flask run` answers HTTP and does nothing else: no schema is made, no command handled, no event sent. "
    "`make run`, or `python run.py`, runs the whole service."
)


def environment(started_with: bytes) -> Mapping[str, str]:
    """Return the environment for the settings. Says on standard error what a person would not expect.

    `started_with`: the environment that the process was started with, as /proc/self/environ has it; empty: not known.
    """
    if os.environ.get("FLASK_RUN_FROM_CLI") != "true":
        return os.environ
    context = click.get_current_context(silent=True)
    if context is not None and context.info_name == "run":
        print(ONLY_HTTP, file=sys.stderr)
    found = _without_other_folders(started_with)
    try:
        told = {**found, **env_file_values(found)}
    except SettingsError:
        return found  # whoever loads the settings says it
    addresses = where_not_told(told)
    if addresses:
        shown = ", ".join(f"{name}={value}" for name, value in addresses.items())
        print(f"Using the stack that runs in this checkout: {shown}", file=sys.stderr)
    return {**found, **addresses}


def _without_other_folders(started_with: bytes) -> dict[str, str]:
    """Leave out what Flask has read of a `.env` in a folder above: those belong to other programs.

    Flask looks upwards from the current folder, and cannot be told otherwise from here. What the process was started
    with stays, also where that file says the same.
    """
    nearest = find_dotenv(usecwd=True)
    if not started_with or not nearest or Path(nearest).resolve() == ENV_FILE:
        return {**os.environ}
    given = {os.fsdecode(line.partition(b"=")[0]) for line in started_with.split(b"\0")}
    strange = {name for name, value in dotenv_values(nearest).items() if os.environ.get(name) == value}
    return {name: value for name, value in os.environ.items() if name in given or name not in strange}
