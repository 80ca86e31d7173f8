"""Documents name only metrics that exist: an alert on any other would be silent."""

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from app.utils import metrics

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = [CHECKOUT / "README.md", CHECKOUT / "CHANGELOG.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]


def of_the_service() -> set[str]:
    """The names as a scrape has them."""
    assert metrics.LAG
    return {
        name for family in REGISTRY.collect() for name in (family.name, *(sample.name for sample in family.samples))
    }


def known() -> set[str]:
    declared = Path(metrics.__file__).read_text()
    return set(re.findall(r'"(order_[a-z_]+)"', declared)) | of_the_service()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_metric_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    suffixes = ("_total", "_seconds", "_depth", "_lag", "_alarms", "_leader", "_unsent")
    named = {name for name in re.findall(r"`(order_[a-z_]+)(?:\{[^`]*\})?`", text) if name.endswith(suffixes)}
    assert named <= known()


def test_the_documents_do_name_metrics() -> None:
    assert "order_outbox_oldest_seconds" in (CHECKOUT / "docs" / "reliability.md").read_text()
