"""What is fuzzed, and the words that each input is likely to hold."""

import ast
import gc
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.fuzz.commands_target import commands
from tests.fuzz.credentials_target import credentials
from tests.fuzz.decoder_target import decoder
from tests.fuzz.heads_target import heads
from tests.fuzz.records_target import records

CORPUS = Path(__file__).with_name("corpus")
WORDS = Path(__file__).with_name("words")
MAX_CPU_SECONDS = 1.0
"""Of one input, which takes well under a millisecond."""

Target = Callable[[bytes], None]

TARGETS: Mapping[str, Target] = {
    "decoder": decoder,
    "heads": heads,
    "commands": commands,
    "records": records,
    "credentials": credentials,
}

_WORDS = {
    "decoder": ["json"],
    "heads": ["heads"],
    "commands": ["json", "commands"],
    "records": ["records"],
    "credentials": ["json", "credentials"],
}


def words(name: str) -> list[str]:
    """Return what inputs of a target are likely to hold: lines of libFuzzer's dictionaries."""
    lines = (line for file in _WORDS[name] for line in (WORDS / f"{file}.dict").read_text().splitlines())
    return [line for line in lines if line.startswith('"')]


def tokens(name: str) -> list[bytes]:
    """Return the same as bytes."""
    return [ast.literal_eval(f"b{line}") for line in words(name)]


def corpus(name: str) -> list[bytes]:
    """Return the kept inputs of a target, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def within_time(target: Target) -> Target:
    """Return the target that also fails where an input takes too long."""

    def run(data: bytes) -> None:
        assert cpu_seconds(target, data) < MAX_CPU_SECONDS, "this input takes too long"

    return run


def cpu_seconds(target: Target, data: bytes) -> float:
    """Return what an input takes, without the collector: it would look at what thousands of tests have left."""
    gc.disable()
    try:
        started = time.thread_time()
        target(data)
        return time.thread_time() - started
    finally:
        gc.enable()
