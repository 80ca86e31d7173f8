"""docs/metrics.md and the code name the same metrics, and all documents name only such: an alert on any other would be
silent."""

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from app.utils import metrics
from app.utils.exposition import exposition

CHECKOUT = Path(__file__).resolve().parents[2]
TABLE = (CHECKOUT / "docs/metrics.md").read_text()
DOCUMENTS = [CHECKOUT / "README.md", CHECKOUT / "CHANGELOG.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
OF_BEFORE = {"order_http_repeats_total", "order_commands_oldest_seconds"}  # the changelog names them
OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")


def documented() -> dict[str, tuple[tuple[str, ...], str]]:
    """By name, the labels and the kind."""
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|[^|]*\((\w+)[^|]*\) \|", TABLE, re.MULTILINE)
    return {name: (tuple(re.findall(r"`(\w+)`", labels)), kind) for name, labels, kind in rows}


def declared() -> dict[str, tuple[tuple[str, ...], str]]:
    of_process = [one for one in vars(metrics).values() if isinstance(one, Counter | Gauge | Histogram)]
    found = {name_of(one): (tuple(one._labelnames), one._type) for one in of_process}
    return found | {one.name: (tuple(one.labels), "gauge") for one in metrics.SERVICE_GAUGES}


def name_of(metric: Counter | Gauge | Histogram) -> str:
    return f"{metric._name}_total" if isinstance(metric, Counter) else metric._name


def of_processes() -> set[str]:
    return set(re.findall(r"^(process_\w+)\{worker=", exposition([]).decode(), re.MULTILINE))


def test_the_table_has_every_metric_with_its_labels_and_its_kind_and_no_other() -> None:
    table = documented()
    shown = {name: (("worker",), kind) for name, (_, kind) in table.items() if name.startswith("process_")}
    assert shown.keys() == of_processes()
    assert table == declared() | shown


def test_a_scrape_shows_no_other_metric() -> None:
    families = {family.name for family in REGISTRY.collect()}
    named = {name.removesuffix("_total") for name in documented()}
    assert {name for name in families if name not in named} == set()


def test_each_metric_is_described_once() -> None:
    names = re.findall(r"^\| `(\w+)` \|", TABLE, re.MULTILINE)
    assert len(names) == len(set(names)) == len(documented())
    for document in DOCUMENTS:
        if document.name != "metrics.md":
            assert not re.findall(
                r"^\| `((?:order|process)_\w+(?:_total|_seconds|_bytes|_size))`", document.read_text(), re.M
            )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_metric_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    suffixes = ("_total", "_seconds", "_depth", "_lag", "_alarms", "_leader", "_unsent", *OF_A_HISTOGRAM)
    named = {name for name in re.findall(r"\b(order_[a-z_]+)\b(?!\.)", text) if name.endswith(suffixes)}
    known = documented().keys() | {
        name + end for name, (_, kind) in documented().items() if kind == "histogram" for end in OF_A_HISTOGRAM
    }
    assert named - OF_BEFORE <= known


def test_the_documents_do_name_metrics() -> None:
    assert "order_outbox_oldest_seconds" in (CHECKOUT / "docs" / "reliability.md").read_text()
