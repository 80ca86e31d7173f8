"""What runs: the version of the service, and the commit that its code comes from."""

import os
from functools import cache
from pathlib import Path

VERSION = "1.0.0"
"""The version in pyproject.toml, too; a test compares the two."""

UNKNOWN = "unknown"

_CHECKOUT = Path(__file__).resolve().parents[2]


@cache
def build() -> dict[str, str]:
    """Return `version` and `commit`. The Dockerfile leaves the commit in SOURCE_COMMIT; a checkout has it in `.git`."""
    return {"version": VERSION, "commit": os.environ.get("SOURCE_COMMIT") or commit_of(_CHECKOUT)}


def commit_of(checkout: Path) -> str:
    """Return the commit that is checked out, "unknown" where `.git` does not tell. Reads files, runs no git."""
    git = checkout / ".git"
    try:
        if git.is_file():  # a further worktree of a repository that is elsewhere
            git = checkout / git.read_text().removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text().strip()
        branch = head.removeprefix("ref: ")
        return head if branch == head else _commit_of_branch(git, branch)
    except OSError:
        return UNKNOWN


def _commit_of_branch(git: Path, branch: str) -> str:
    common = git / "commondir"
    shared = git / common.read_text().strip() if common.exists() else git
    if (shared / branch).exists():
        return (shared / branch).read_text().strip()
    lines = (line.split() for line in (shared / "packed-refs").read_text().splitlines())
    return next((words[0] for words in lines if words[1:] == [branch]), UNKNOWN)
