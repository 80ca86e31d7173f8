"""What the service is made of: licences, the SBOM, and what the audit makes of an answer. No network."""

import json
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tools import supply
from tools.supply import NetworkAway, SupplyError, allowed_licences, licences, missing, packages, refused, sentence_of

FLAW = {"id": "PYSEC-1", "fix_versions": ["2.0"]}
OURS = packages(supply.LOCK.read_text())


def part(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": []} | more


def test_each_package_of_the_service_is_licensed_as_the_list_allows() -> None:
    found = {name: licences(metadata.metadata(name)) for name in OURS}
    assert refused(found, allowed_licences()) == []


def test_the_list_of_licences_names_none_that_nobody_has() -> None:
    found = {name for package in OURS for name in licences(metadata.metadata(package))}
    assert allowed_licences() - found == set()


def test_a_licence_that_is_not_on_the_list_is_refused() -> None:
    found = {"good": ["MIT"], "one-of-two": ["MIT", "AGPL-3.0-only"], "silent": ["none declared"]}
    assert refused(found, frozenset({"MIT"})) == ["one-of-two: MIT, AGPL-3.0-only", "silent: none declared"]


def test_each_direct_dependency_is_pinned() -> None:
    direct = tomllib.loads((supply.CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {line.partition(">=")[0].partition("[")[0] for line in direct} <= OURS.keys()


def test_the_tests_run_the_versions_that_the_image_gets() -> None:
    assert {name: metadata.version(name) for name in OURS} == OURS


def test_a_pin_for_another_platform_is_none_of_ours() -> None:
    lock = "a-b==1.0 \\\n    --hash=sha256:00\nc[x]==2.0 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    assert packages(lock) == {"a-b": "1.0"}


def test_a_package_that_the_sbom_lacks_is_named() -> None:
    whole = {"components": [{"name": name, "version": version} for name, version in OURS.items()]}
    assert missing(whole, OURS) == []
    without = {"components": [part for part in whole["components"] if part["name"] != "flask"]}
    assert missing(without, OURS) == [f"flask=={OURS['flask']}"]


def test_an_audit_without_a_finding_says_so() -> None:
    assert sentence_of({"dependencies": [part("a"), part("b")]}).startswith("No known vulnerability in the 2")


def test_a_vulnerability_fails_the_audit() -> None:
    with pytest.raises(SupplyError, match=r"b 1\.0: PYSEC-1, mended in 2\.0"):
        sentence_of({"dependencies": [part("a"), part("b", vulns=[FLAW])]})


def test_a_package_that_was_not_audited_fails_the_audit() -> None:
    with pytest.raises(SupplyError, match=r"not know them: b\."):
        sentence_of({"dependencies": [part("a"), part("b", skip_reason="not found")]})


def test_an_index_without_a_list_of_vulnerabilities_is_no_clean_audit() -> None:
    with pytest.raises(NetworkAway):
        sentence_of({"dependencies": [part("a", skip_reason="not found")]})


@pytest.mark.parametrize(
    ("command", "failure", "code"),
    [
        ("audit", NetworkAway("no index"), 0),
        ("audit", SupplyError("Known vulnerabilities: …"), 1),
        ("sbom", NetworkAway("no index"), 1),
    ],
)
def test_only_an_audit_without_a_network_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, failure: Exception, code: int
) -> None:
    def fail() -> str:
        raise failure

    monkeypatch.setattr(supply, command, fail)
    assert supply.main([command]) == code
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("writes", "raised"),
    [
        ("ERROR: No matching distribution (from versions: none)", NetworkAway),
        ("requests.exceptions.ConnectionError: refused", NetworkAway),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", SupplyError),
    ],
)
def test_a_program_that_fails_is_told_from_a_network_that_is_away(writes: str, raised: type[Exception]) -> None:
    script = f"import sys; print({json.dumps(writes)}, file=sys.stderr); sys.exit(1)"
    with pytest.raises(raised):
        supply._run(Path(sys.executable), "-c", script)
