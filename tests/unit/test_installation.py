"""Where PostgreSQL's programs for tests are put, if root must run them as another account."""

import os
import pwd
from pathlib import Path

import pytest

from tools.stack.errors import StackError
from tools.stack.installation import _make_own

NOBODY = pwd.getpwnam("nobody")


def test_a_folder_of_our_own_is_made_and_found_again(tmp_path: Path) -> None:
    _make_own(tmp_path / "home", NOBODY)
    _make_own(tmp_path / "home", NOBODY)
    assert (tmp_path / "home").is_dir()


def test_a_folder_that_somebody_else_put_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").symlink_to(tmp_path)
    with pytest.raises(StackError, match="somebody else's"):
        _make_own(tmp_path / "home", NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_account_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", 12345, 12345)
    with pytest.raises(StackError, match="somebody else's"):
        _make_own(tmp_path / "home", NOBODY)
