"""The environment of a `flask` command: without the `.env` of other folders, with the addresses of a running stack."""

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
    """Return the environment for the settings. Print on standard error what a person would not expect.

    Without a `flask` command that is the environment as it is. `started_with`: the environment at the start of the
    process, as in /proc/self/environ; empty if that is not known.
    """
    if not _is_flask_command():
        return os.environ
    if answers_callers():
        print(ONLY_HTTP, file=sys.stderr)
    found = _without_other_folders(started_with)
    try:
        told = {**found, **env_file_values(found)}
    except SettingsError:
        return found  # loading the settings reports the error
    addresses = where_not_told(told)
    if addresses:
        shown = ", ".join(f"{name}={value}" for name, value in addresses.items())
        print(f"Using the stack that runs in this checkout: {shown}", file=sys.stderr)
    return {**found, **addresses}


def answers_callers() -> bool:
    """Tell whether this process answers callers: it does not where it is a `flask` command other than `run`."""
    context = click.get_current_context(silent=True)
    return not _is_flask_command() or (context is not None and context.info_name == "run")


def _is_flask_command() -> bool:
    return os.environ.get("FLASK_RUN_FROM_CLI") == "true"


def _without_other_folders(started_with: bytes) -> dict[str, str]:
    """Return the environment without what Flask has read of another folder's `.env`, which is another program's.

    Flask looks for `.env` from the current folder upwards, and this module cannot prevent that. Variables that the
    process was started with stay, even if that file has the same value.
    """
    nearest = find_dotenv(usecwd=True)
    if not started_with or not nearest or Path(nearest).resolve() == ENV_FILE:
        return {**os.environ}
    given = {os.fsdecode(line.partition(b"=")[0]) for line in started_with.split(b"\0")}
    strange = {name for name, value in dotenv_values(nearest).items() if os.environ.get(name) == value}
    return {name: value for name, value in os.environ.items() if name in given or name not in strange}
