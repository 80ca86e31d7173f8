"""Every promise of docs/contract.md has a mark, and every mark has a test that names it."""

import subprocess
import sys
from pathlib import Path

from tools import marks

LAST = {"O": 5, "R": 8, "H": 16, "K": 16, "S": 4}
PROMISES = {f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)} | {"S20", "S21"}


def test_the_contract_has_every_mark() -> None:
    assert marks.marks(marks.CONTRACT.read_text(encoding="utf-8")) == PROMISES


def test_every_mark_is_named_by_a_test() -> None:
    assert marks.unproven() == []


def test_the_script_names_what_no_test_proves(tmp_path: Path) -> None:
    (tmp_path / "contract.md").write_text("- [" + "K2] and [" + "H10] and [" + "H9]; [x](y) is a link")
    (tmp_path / "test_it.py").write_text('"""[' + 'H9]"""')
    assert marks.unproven(tmp_path / "contract.md", tmp_path) == ["H10", "K2"]


def test_the_script_ends_with_a_status_for_make() -> None:
    ended = subprocess.run([sys.executable, "-m", "tools.marks"], cwd=marks.ROOT, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, b"")
