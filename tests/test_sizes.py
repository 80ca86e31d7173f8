"""What a reader can take in: no file of app and tools over 300 lines, no function over 40 without its docstring."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = [path for folder in ("app", "tools") for path in sorted((ROOT / folder).rglob("*.py"))]
MAX_FILE = 300
MAX_FUNCTION = 40


def long_functions(path: Path) -> Iterator[str]:
    """Yield each function that is too long, with its lines: from `def` to the end, without the docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            has_docstring = ast.get_docstring(node, clean=False) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
            lines = (node.end_lineno or 0) - node.lineno + 1 - docstring
            if lines > MAX_FUNCTION:
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {lines} lines"


def test_no_file_is_too_long() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: count for name, count in lines.items() if count > MAX_FILE} == {}


def test_no_function_is_too_long() -> None:
    assert [line for path in FILES for line in long_functions(path)] == []
