"""Headings of a Markdown file, and the anchors by which links reach them on the usual forges."""

import re
from pathlib import Path

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


def sections(document: Path, level: int) -> dict[str, str]:
    """Return what stands under each heading of the level, up to the next heading of any level."""
    text = _FENCE.sub("", document.read_text())
    headings = [*_HEADING.finditer(text)]
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return {
        heading[2]: text[heading.end() : end]
        for heading, end in zip(headings, ends, strict=True)
        if len(heading[1]) == level
    }


def anchors(document: Path) -> set[str]:
    """Return the anchor of each heading."""
    return {anchor(heading) for _, heading in _HEADING.findall(_FENCE.sub("", document.read_text()))}


def anchor(heading: str) -> str:
    """Return the anchor of a heading: in lower case, without punctuation, a hyphen for each space."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
