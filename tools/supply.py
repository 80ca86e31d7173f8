"""What the service is made of: `python -m tools.supply sbom` and `audit`, which `make` calls.

Both look at requirements.txt, the packages that the image gets, not at those of the tests. The programs that they need
are in an environment of their own (requirements-supply.txt), so that they bring nothing into the others. All files go
to build/, which git ignores: they follow from requirements.txt.
"""

import json
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[1]
BUILD = CHECKOUT / "build"
LOCK = CHECKOUT / "requirements.txt"
TOOLS_LOCK = CHECKOUT / "requirements-supply.txt"
_NO_NETWORK = re.compile(r"\(from versions: none\)|ConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError")
_PIN = re.compile(r"^[A-Za-z0-9][^\\\n]*==[^\\\n]*", re.MULTILINE)
_CLASSIFIER = re.compile(r"License :: (?:OSI Approved :: )?(.+)")


class SupplyError(Exception):
    """`str()` is a sentence that says what is wrong."""


class NetworkAway(Exception):
    """The package index, or the list of vulnerabilities, was not reached."""


def packages(lock: str) -> dict[str, str]:
    """Return the version of each package of a compiled list that this platform gets, by its normalized name."""
    pins = [Requirement(line) for line in _PIN.findall(lock)]
    wanted = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in wanted}


def licences(about: metadata.PackageMetadata) -> list[str]:
    """Return the licences that a package declares: the names in its SPDX expression, else its classifiers."""
    for expression in about.get_all("License-Expression") or ():
        return [name for name in re.findall(r"[\w.+-]+", expression) if name not in ("AND", "OR", "WITH")]
    classifiers = (_CLASSIFIER.fullmatch(line) for line in about.get_all("Classifier") or ())
    return [found[1] for found in classifiers if found] or about.get_all("License") or ["none declared"]


def allowed_licences() -> frozenset[str]:
    """Return pyproject.toml's list."""
    return frozenset(tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["supply"]["licences"])


def refused(found: Mapping[str, Sequence[str]], allowed: frozenset[str]) -> list[str]:
    """Return a line for each package with a licence that is not allowed. Of alternatives each must be."""
    return [f"{name}: {', '.join(names)}" for name, names in sorted(found.items()) if not allowed.issuperset(names)]


def missing(sbom: Mapping[str, Any], wanted: Mapping[str, str]) -> list[str]:
    """Return the packages, each with its version, that an SBOM does not have."""
    components = {(canonicalize_name(part["name"]), part["version"]) for part in sbom["components"]}
    return [f"{name}=={version}" for name, version in wanted.items() if (name, version) not in components]


def sentence_of(audit: Mapping[str, Any]) -> str:
    """Return what pip-audit's document says. Raises SupplyError for a vulnerability, and for a package that the list of
    vulnerabilities does not know; NetworkAway if it knows none, as an index does that has no such list."""
    parts = audit["dependencies"]
    skipped = [part["name"] for part in parts if "skip_reason" in part]
    hit = [
        f"{part['name']} {part['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version'}"
        for part in parts
        for flaw in part.get("vulns", ())
    ]
    if hit:
        raise SupplyError("Known vulnerabilities:\n  " + "\n  ".join(hit))
    if len(skipped) == len(parts):
        raise NetworkAway("the package index that answers has no list of vulnerabilities")
    if skipped:
        raise SupplyError(f"Not audited, since the list of vulnerabilities does not know them: {', '.join(skipped)}.")
    return f"No known vulnerability in the {len(parts)} packages of requirements.txt."


def sbom() -> str:
    """Write build/sbom.json (CycloneDX) and build/licences.md. Raises SupplyError and NetworkAway."""
    programs, service = _environment("tools", TOOLS_LOCK), _environment("service", LOCK)
    python, document = service / "python", BUILD / "sbom.json"
    about = ("--pyproject", "pyproject.toml", "--output-reproducible", "--output-format", "JSON")
    _run(programs / "cyclonedx-py", "environment", *about, "--output-file", document, python)
    _run(programs / "pip-licenses", "--python", python, "--format", "markdown", "--output-file", BUILD / "licences.md")
    absent = missing(json.loads(document.read_text()), packages(LOCK.read_text()))
    if absent:
        raise SupplyError(f"The SBOM lacks {', '.join(absent)}.")
    return "build/sbom.json and build/licences.md are written."


def audit() -> str:
    """Ask the package index for known vulnerabilities of what is pinned. Raises SupplyError and NetworkAway."""
    given = (
        "--requirement",
        LOCK,
        "--require-hashes",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    )
    document = _run(_environment("tools", TOOLS_LOCK) / "pip-audit", *given, may_fail=True)
    return sentence_of(json.loads(document))


def _environment(name: str, lock: Path) -> Path:
    """Return the programs of an environment with exactly the packages of a compiled list; makes it where it is not."""
    folder, mark = BUILD / name, BUILD / name / "installed"
    if not mark.exists() or mark.read_text() != lock.read_text():
        venv.create(folder, clear=True)
        pip = ("-m", "pip", "--python", folder / "bin" / "python", "install", "--disable-pip-version-check")
        _run(Path(sys.executable), *pip, "--require-hashes", "--requirement", lock)
        mark.write_text(lock.read_text())
    return folder / "bin"


def _run(program: Path, *arguments: str | Path, may_fail: bool = False) -> str:
    """Return what the program writes. `may_fail`: also if it fails, provided that it has written something."""
    done = subprocess.run([program, *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0 and not (may_fail and done.stdout.strip()):
        last = done.stderr.strip().splitlines()[-1:] or ["it wrote nothing"]
        if _NO_NETWORK.search(done.stderr):
            raise NetworkAway(f"{program.name} reached no package index")
        raise SupplyError(f"{program.name} failed: {last[0]}")
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """Carry out `sbom` or `audit`; print a sentence; return the exit code. Without a network there is no audit, which
    is no failure."""
    command = {"sbom": sbom, "audit": audit}[arguments[0]]
    try:
        print(command())
    except SupplyError as wrong:
        print(wrong, file=sys.stderr)
        return 1
    except NetworkAway as away:
        print(f"Nothing was done: {away}.", file=sys.stderr)
        return 0 if command is audit else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
