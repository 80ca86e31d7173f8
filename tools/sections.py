"""The sections of documents that programs write: the text between two marks, never edited by hand."""

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

_BEGIN, _END = "<!-- {} begins -->", "<!-- {} ends -->"


def write_section(document: Path, name: str, lines: Iterable[str]) -> None:
    """Replace the text between the marks of that name. Raises ValueError where the document has none."""
    begin, end = _BEGIN.format(name), _END.format(name)
    text = document.read_text()
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if not after and end not in text:
        raise ValueError(f"{document.name} has no place for {name}")
    document.write_text("\n".join([f"{before}{begin}", *lines, f"{end}{after}"]))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |" for cells in lines]


def when_and_where() -> str:
    """Return the time and the machine, with which sections begin."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}"
    )
