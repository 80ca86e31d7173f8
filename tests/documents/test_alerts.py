"""Prometheus' rules: promtool takes them, they know every kind of alarm, and their links lead to sections.

Debian's promtool reads files; no server starts.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents.alarm_kinds import kinds
from tests.documents.headings import anchor, anchors, sections

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "deploy" / "prometheus"
RUNBOOK = CHECKOUT / "docs" / "runbook.md"
BASE = "{{ $externalLabels.runbook }}runbook.md#"

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]


def promtool(*arguments: object) -> None:
    program = shutil.which("promtool")
    assert program is not None, "promtool is not installed: `apt-get install prometheus` on Debian."
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def kinds_of(rule: dict[str, Any]) -> set[str]:
    """Return the kinds of alarms that a rule passes on."""
    found = re.search(r'order_alarms\{alarm=~?"([^"]+)"\}', rule["expr"])
    return {kind for kind in kinds() if found and re.fullmatch(found[1], kind)}


def test_promtool_takes_the_rules() -> None:
    promtool("check", "rules", "--lint-fatal", FOLDER / "alerts.yml")


def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    """With a file for the credential, which promtool looks for."""
    (tmp_path / "key").write_text("ok_…")
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    text = (FOLDER / "prometheus.yml").read_text().replace("/etc/prometheus/order-service.key", str(tmp_path / "key"))
    (tmp_path / "prometheus.yml").write_text(text)
    promtool("check", "config", tmp_path / "prometheus.yml")


@pytest.mark.parametrize("file", sorted((FOLDER / "tests").glob("*.yml")), ids=lambda file: file.stem)
def test_the_rules_pass_their_tests(file: Path) -> None:
    promtool("test", "rules", file)


def test_each_alert_fires_in_a_test_and_has_a_healthy_service_to_be_silent_in() -> None:
    texts = {file.stem: file.read_text() for file in (FOLDER / "tests").glob("*.yml")}
    fired = re.findall(r'alertname: (\w+)\n +eval_time: .*\n +exp_alerts:\n|alertname="(\w+)"', "".join(texts.values()))
    assert {rule["alert"] for rule in RULES} <= {name for names in fired for name in names}
    for stem, text in texts.items():
        assert re.search(r"expr: '?ALERTS.*exp_samples: \[\]", text), stem


def test_each_kind_of_alarm_is_passed_on_by_exactly_one_rule() -> None:
    passed = [kind for rule in RULES for kind in kinds_of(rule)]
    assert sorted(passed) == sorted(kinds())


def test_the_runbook_has_each_kind_under_its_alert() -> None:
    text = RUNBOOK.read_text()
    under = {
        name: set(re.findall(r"^### (.+)$", text.split(f"\n## {name}\n")[1].split("\n## ")[0], re.MULTILINE))
        for name in sections(RUNBOOK, 2)
    }
    assert under == {rule["alert"]: kinds_of(rule) for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_says_what_is_wrong_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    url = rule["annotations"]["runbook_url"]
    if kinds_of(rule):
        assert url == BASE + "{{ $labels.alarm }}"
        assert kinds_of(rule) <= anchors(RUNBOOK)
    else:
        assert url == BASE + anchor(rule["alert"])
        assert url.removeprefix(BASE) in anchors(RUNBOOK)
