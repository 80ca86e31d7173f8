"""Thousands of short stories of crashes, freezes and lost answers, each of which a seed tells again."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.simulation import __main__ as program
from tests.simulation.ablations import ABLATIONS
from tests.simulation.faults import Kind
from tests.simulation.story import play, play_all

SEEDS = 1_000  # less than ten seconds of a core; the program plays 10,000
FOUND_WITHIN = 1_000
pytestmark = pytest.mark.timeout(600)  # beside others, and watched by coverage


def test_no_seed_loses_anything_or_does_anything_twice(record_property: Callable[[str, object], None]) -> None:
    """[K8, K13] And every kind of fault has struck, else it proves nothing."""
    figures, wrong = play_all(range(SEEDS))
    assert wrong is None, str(wrong)
    for name, number in figures.items():
        record_property(f"{name}", int(number))  # plain values: they travel between processes
    assert [kind for kind in Kind if not figures[kind]] == []
    assert figures["read-backs that removed rows"] > 0


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_protection_that_is_taken_out_is_missed(name: str) -> None:
    """By a seed that is clean with it."""
    figures, wrong = play_all(range(FOUND_WITHIN), ABLATIONS[name])
    assert wrong is not None, f"{figures['seeds']} seeds do not need {name}"
    assert play(wrong.seed).wrong == []


def test_a_seed_is_the_same_story_everywhere() -> None:
    """Also in another process, where sets of strings have another order."""
    command = [sys.executable, "-m", "tests.simulation", "--first", "17", "--steps"]
    elsewhere = subprocess.run(command, env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=True)
    steps = str(play(17)).splitlines()
    assert str(play(17)).splitlines() == steps
    assert elsewhere.stdout.splitlines() == steps


def test_another_seed_is_another_story() -> None:
    assert list(play(17).steps()) != list(play(18).steps())


def test_a_seed_that_is_wrong_tells_its_steps_and_how_to_see_them_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "NOTHING", ABLATIONS["identities"])
    assert program.main(["--seeds", str(FOUND_WITHIN)]) == 1
    told = capsys.readouterr().out
    assert "i0.consumer   COMMIT" in told
    assert "has 2 replies\npython -m tests.simulation --first" in told


def test_the_program_tells_which_seed_misses_a_protection(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--seeds", str(FOUND_WITHIN), "--without", "identities"]) == 0
    assert "without identities: shows at seed" in capsys.readouterr().out


def test_a_protection_that_no_seed_misses_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--seeds", "0", "--without", "identities"]) == 1
    assert "without identities: does not show" in capsys.readouterr().out
