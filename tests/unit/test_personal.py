"""The map of personal data has every column, and the document shows it."""

import re
from pathlib import Path

from app.models.models import db
from app.models.personal import NOT_PERSONAL, PERSONAL

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "security.md"
COLUMNS = {(table.name, column.name) for table in db.metadata.tables.values() for column in table.columns}
PERSONAL_COLUMNS = {(table, column) for table, columns in PERSONAL.items() for column in columns}
OTHERS = {(table, column) for table, columns in NOT_PERSONAL.items() for column in columns}


def test_each_column_is_known_to_be_personal_or_not() -> None:
    assert set() == COLUMNS - PERSONAL_COLUMNS - OTHERS, "a new column: put it into app/models/personal.py"


def test_no_column_is_both() -> None:
    assert set() == PERSONAL_COLUMNS & OTHERS


def test_the_map_has_no_column_that_is_gone() -> None:
    assert PERSONAL_COLUMNS | OTHERS == COLUMNS


def test_the_document_has_the_map() -> None:
    rows = re.findall(r"^\| `(\w+)\.(\w+)` \| (.+) \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    wanted = [(table, name, of.what, of.forgotten) for table, names in PERSONAL.items() for name, of in names.items()]
    assert rows == wanted
