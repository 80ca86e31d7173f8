"""Rules and dashboard name only metrics and labels that exist, and promtool parses what the dashboard asks."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.utils import metrics
from app.utils.limits import CONTRACT_SECONDS
from tests.documents.headings import anchors
from tests.documents.test_alerts import RULES, RUNBOOK, promtool
from tests.documents.test_metrics import documented

CHECKOUT = Path(__file__).resolve().parents[2]
DASHBOARD: dict[str, Any] = json.loads((CHECKOUT / "deploy" / "grafana" / "order-service.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
OF_TARGETS = {"job", "instance"}
OF_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alarm"}}
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}


def asked() -> Iterator[tuple[str, str]]:
    """Yield each expression of the dashboard, with the values of the variables, and where it stands."""
    found = [(f"{title} {target['refId']}", target["expr"]) for title in PANELS for target in PANELS[title]["targets"]]
    found += [(annotation["name"], annotation["expr"]) for annotation in DASHBOARD["annotations"]["list"]]
    for place, expression in found:
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        yield place, expression


def named(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric with the labels of its matchers."""
    text = re.sub(r'"[^"]*"', '""', expression)
    for name, matchers in re.findall(r"\b((?:order|process)_\w+|up\b|ALERTS)(?:\{([^}]*)\})?", text):
        yield name, set(re.findall(r"(\w+)\s*[=!]", matchers))


def grouped(expression: str) -> set[str]:
    """Return the labels by which the expression aggregates and joins."""
    text = re.sub(r'"[^"]*"', '""', expression)
    lists = re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", text)
    return {label for labels in lists for label in re.findall(r"\w+", labels)}


def labels_of(metric: str) -> set[str]:
    """Return the labels that a sample of the metric has. Raises KeyError for one that the service does not show."""
    if metric in OF_PROMETHEUS:
        return OF_PROMETHEUS[metric] | OF_TARGETS
    if metric in documented():
        return {*documented()[metric][0]} | OF_TARGETS
    family, _, suffix = metric.rpartition("_")
    labels, kind = documented()[family]
    assert (kind, suffix) in {("histogram", "bucket"), ("histogram", "count"), ("histogram", "sum")}, metric
    return {*labels, *(["le"] if suffix == "bucket" else [])} | OF_TARGETS


EXPRESSIONS = [*((rule["alert"], rule["expr"]) for rule in RULES), *asked()]


@pytest.mark.parametrize(("place", "expression"), EXPRESSIONS, ids=[place for place, _ in EXPRESSIONS])
def test_an_expression_names_only_metrics_and_labels_that_exist(place: str, expression: str) -> None:
    asks = [*named(expression)]
    assert asks
    for metric, labels in asks:
        assert labels <= labels_of(metric), metric
    assert grouped(expression) <= {label for metric, _ in asks for label in labels_of(metric)}


def test_promtool_parses_what_the_dashboard_asks(tmp_path: Path) -> None:
    rules = [{"record": f"asked:{number}", "expr": expression} for number, (_, expression) in enumerate(asked())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", tmp_path / "rules.yml")


def test_the_dashboard_has_twelve_panels_that_tell_what_they_show() -> None:
    assert len(PANELS) == len(DASHBOARD["panels"]) == 12
    assert len({panel["id"] for panel in PANELS.values()}) == 12
    places = [
        (x["x"] + column, x["y"] + row)
        for panel in PANELS.values()
        for x in [panel["gridPos"]]
        for column in range(x["w"])
        for row in range(x["h"])
    ]
    assert len(places) == len({*places})
    for title, panel in PANELS.items():
        assert panel["description"], title
        assert panel["fieldConfig"]["defaults"]["unit"], title
        assert panel["datasource"]["uid"] == "${datasource}", title


def test_what_the_dashboard_leads_to_is_there() -> None:
    """The variables are the reader's; the rest of a link is ours."""
    text = json.dumps(DASHBOARD)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert {*re.findall(r"\$\{?([a-z]\w*)", text)} <= variables | {"__field"}
    assert {link["url"] for link in DASHBOARD["links"]} == {"${console}/console", "${runbook}runbook.md"}
    assert anchors(RUNBOOK)


def test_the_runbook_names_panels_that_are_there() -> None:
    found = [
        re.findall(r'"([^"]+)"', words)
        for words in re.findall(r"panels? ((?:\"[^\"]+\"(?:, | and )?)+)", RUNBOOK.read_text())
    ]
    assert found
    assert {title for titles in found for title in titles} <= PANELS.keys()


def test_rule_and_line_are_at_the_promise() -> None:
    """[H1] A bucket has the same limit: between two buckets a rule would count what nobody measured."""
    (rule,) = [rule for rule in RULES if rule["alert"] == "OrderAnswersTooLate"]
    assert f'le="{CONTRACT_SECONDS}"' in rule["expr"]
    assert CONTRACT_SECONDS in metrics.REQUEST_TIME._upper_bounds
    steps = PANELS["Latency"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps[-1]["value"] == CONTRACT_SECONDS
