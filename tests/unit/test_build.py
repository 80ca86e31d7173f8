"""What runs is told: the version in pyproject.toml, and the commit that git has checked out."""

import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from app.api.health import alive
from app.api.requests import begin
from app.utils import build
from app.utils.build import UNKNOWN, VERSION, commit_of

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LISTS = {
    "requirements.txt": PROJECT["project"]["dependencies"],
    "requirements-dev.txt": PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"],
    "tests/benchmarks/requirements.txt": PROJECT["dependency-groups"]["peers"],
    "tests/fuzz/requirements.txt": PROJECT["dependency-groups"]["fuzz"],
}

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Run git in a new repository with one commit."""

    def run(*arguments: str, folder: Path = tmp_path) -> str:
        named = ["-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "init.defaultBranch=main"]
        done = subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    run("init")
    run("commit", "--allow-empty", "--message", "First")
    return run


def test_the_version_is_the_one_of_the_project() -> None:
    assert PROJECT["project"]["version"] == VERSION


def test_the_commit_is_that_of_the_branch_wherever_git_keeps_it(git: Git, tmp_path: Path) -> None:
    wanted = git("rev-parse", "HEAD")
    assert commit_of(tmp_path) == wanted
    git("pack-refs", "--all")
    assert commit_of(tmp_path) == wanted
    git("checkout", "--detach")
    assert commit_of(tmp_path) == wanted


def test_a_further_worktree_has_a_commit_of_its_own(git: Git, tmp_path: Path) -> None:
    git("worktree", "add", "-b", "other", "further")
    further = tmp_path / "further"
    git("commit", "--allow-empty", "--message", "Second", folder=further)
    assert commit_of(further) == git("rev-parse", "other") != commit_of(tmp_path)


def test_without_git_the_commit_is_unknown(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == UNKNOWN
    (tmp_path / ".git").write_text("gitdir: nowhere")
    assert commit_of(tmp_path) == UNKNOWN


def test_livez_tells_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_COMMIT", "0123abc")
    build.build.cache_clear()
    try:
        told = json.loads(alive(begin("GET", "/livez", "", lambda _: (), bytes)).body)
    finally:
        build.build.cache_clear()
    assert told == {"status": "alive", "version": VERSION, "commit": "0123abc"}


@pytest.mark.parametrize("file", LISTS)
def test_the_compiled_requirements_are_those_of_the_project(file: str) -> None:
    """`make requirements` was run after the last change of a list."""
    lines = [line.rstrip(" \\") for line in (ROOT / file).read_text().splitlines() if line[:1].isalnum()]
    compiled = {pinned.name: str(pinned.specifier).removeprefix("==") for pinned in map(Requirement, lines)}
    wanted = [Requirement(line) for line in LISTS[file]]
    assert [str(it) for it in wanted if not it.specifier.contains(compiled.get(it.name, "0"))] == []
