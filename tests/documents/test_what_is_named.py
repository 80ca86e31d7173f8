"""What the documents name is there: files, headings, targets of make, commands of `flask orders`."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from app.cli import commands
from tests.documents.headings import anchors

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
_CODE = re.compile(r"^```.*?^```|^(?: {4,}|\t)[^\n]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_MAKE = re.compile(r"^[`\s]*make ([a-z][a-z-]+)", re.MULTILINE)
_ORDERS = re.compile(r"\bflask orders ([a-z][a-z -]*[a-z])")


def broken_links(page: Path) -> Iterator[str]:
    for link in _LINK.findall(_CODE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        inside = not re.match(r"[a-z]+:", link)
        if inside and (not target.exists() or (anchor and anchor not in anchors(target))):
            yield link


def commands_that_are_not_there(page: Path) -> Iterator[str]:
    for code in _CODE.findall(page.read_text()):
        yield from (f"make {name}" for name in _MAKE.findall(code) if name not in TARGETS)
        yield from (f"flask orders {words}" for words in _ORDERS.findall(code) if not is_command(words.split()))


def is_command(words: list[str]) -> bool:
    """Tell whether the words begin with those of a command; what follows these may be its arguments."""
    found: click.Command | None = commands
    for word in words:
        if not isinstance(found, click.Group):
            return True
        found = found.get_command(click.Context(found), word)
    return found is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    assert [*broken_links(page), *commands_that_are_not_there(page)] == []


def test_what_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `title`, and more\n[good](#a-title-and-more) [no](#none) [gone](gone.md) `[x](y.md)`\n"
        "`make run`, `make tea`, `flask orders jobs list --json`, `flask orders jobs ruin`\n\n    flask orders tea\n"
    )
    assert [*broken_links(page)] == ["#none", "gone.md"]
    assert [*commands_that_are_not_there(page)] == ["make tea", "flask orders jobs ruin", "flask orders tea"]


def test_the_page_about_upgrades_has_every_migration_since_the_release() -> None:
    section = (ROOT / "docs/upgrading.md").read_text().partition("## From 1.0.0")[2].partition("\n## ")[0]
    bounds = re.search(r"^Schema (\d{4}) to (\d{4})\.$", section, re.MULTILINE)
    assert bounds
    rows = {number for cell in re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE) for number in cell.split(", ")}
    made = {path.name[:4] for path in (ROOT / "migrations/versions").glob("0*.py")}
    assert rows == {number for number in made if number > bounds[1]}
    assert bounds[2] == max(made)
