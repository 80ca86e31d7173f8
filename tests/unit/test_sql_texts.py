"""Values stay apart from SQL: no function puts anything into the text of a statement but those listed here."""

import ast
import re
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "app"

MAKERS = {
    "database/answers_sql.py": {"storing"},
    "database/batches_sql.py": {"_insert_many"},
    "database/connection.py": {"connect", "_settings"},
    "database/consistency.py": {"examine", "count"},
    "database/floor.py": {"writers_of", "last_id_of"},
    "database/lanes.py": {"_oldest_events"},
    "database/orders_sql.py": {"_one"},
    "database/pages_sql.py": {"_total", "_page", "_bucket", "_within", "_deep", "_far"},
    "database/pool.py": {"limit", "_limit"},
    "database/retention.py": {"_prune", "_prune_by_id"},
    "database/schema.py": {"require_head", "migrate", "_is_at_head"},
    "database/watched.py": {"__init__"},
    "operations/lanes.py": {"take_lease"},
}
"""The functions that format SQL, by file: each puts in numbers, and names that stand in the code. A value that a
caller, a record or a row brought goes into a parameter. Look for that before you add a function."""

_SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|SET|FROM|WHERE|VALUES|RETURNING|GRANT|ALTER|DROP|CREATE)\b")


def makers(file: Path) -> set[str]:
    """Return the functions of a file that format SQL when they are called."""
    functions = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)]
    return {function.name for function in functions if any(map(_formats_sql, ast.walk(function)))}


def _formats_sql(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return bool(_SQL.search(_constants(node.values)))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return bool(_SQL.search(_constants([node.left, node.right])))
    return False


def _constants(nodes: list[ast.expr]) -> str:
    return " ".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_no_other_function_formats_sql() -> None:
    found = {str(file.relative_to(APP)): makers(file) for file in APP.rglob("*.py")}
    assert {file: names for file, names in found.items() if names} == MAKERS


@pytest.mark.parametrize(
    "line", ['f"DELETE FROM orders WHERE order_id = {given}"', '"SELECT 1 WHERE 1 = " + given', '"SELECT %s" % given']
)
def test_a_function_that_formats_sql_is_found(tmp_path: Path, line: str) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(f"def planted(given):\n    return {line}\n")
    assert makers(planted) == {"planted"}
