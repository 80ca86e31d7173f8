"""The short run: the kept inputs, a few thousand mutations of them, and each of them as large as input can be."""

import logging
from collections.abc import Iterator

import pytest

from app.wire.decoder import MAX_BYTES
from tests.fuzz.keeping import smallest
from tests.fuzz.mutations import mutations
from tests.fuzz.targets import MAX_CPU_SECONDS, TARGETS, corpus, cpu_seconds, tokens, within_time

MUTATIONS = {"decoder": 10_000, "heads": 5000, "commands": 5000, "records": 5000, "credentials": 2000}
LARGE = 12
SMALLER = 8
MOST_GROWTH = 24  # of 8 that are right and 64 of what grows with its square

EVERY_TARGET = pytest.mark.parametrize("name", TARGETS)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A command that cannot be decided would be logged; here it fails."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@EVERY_TARGET
def test_the_kept_inputs_are_taken_or_refused(name: str) -> None:
    """[R6] [R7] [K10] [H1]"""
    kept = corpus(name)
    assert len(kept) >= 10
    for data in kept:
        within_time(TARGETS[name])(data)


@EVERY_TARGET
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_like_them_is_taken_or_refused(name: str, seed: int) -> None:
    """[R6] [R7] [K10] [H1]"""
    target = within_time(TARGETS[name])
    for data in mutations(corpus(name), tokens(name), seed, MUTATIONS[name]):
        target(data)


@pytest.mark.parametrize("name", ["decoder", "commands"])
def test_no_input_takes_long_however_large_it_is(name: str) -> None:
    """[R6] As large as a body or a command may be: the last kept ones, over and over, inside a list and bare.

    On a machine that is slow, an input may take more than a second if its time grows no faster than it does.
    """
    target = TARGETS[name]
    for data in sorted(corpus(name), key=len)[-LARGE:]:
        for larger, smaller in zip(repeated(data, MAX_BYTES), repeated(data, MAX_BYTES // SMALLER), strict=True):
            took = cpu_seconds(target, larger)
            assert took < MAX_CPU_SECONDS or took < MOST_GROWTH * cpu_seconds(target, smaller), "this takes too long"


def repeated(data: bytes, size: int) -> tuple[bytes, bytes]:
    """Return the input over and over, bare and inside a list, of about that size in bytes."""
    return (data * (size // len(data) + 1))[:size], b"[" + (data + b",") * ((size - 4) // (len(data) + 1)) + b"0]"


def test_only_inputs_that_reach_something_new_are_kept() -> None:
    """Of two that reach the same, the shorter one."""
    kept = smallest(TARGETS["decoder"], [b"{}", b"{} ", b'"\\ud800"', b'"\\ud800\\ud800"', b"[1]"])
    assert set(kept) == {b"{}", b'"\\ud800"'}
