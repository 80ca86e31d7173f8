"""Every alarm that the code can ring has a row in docs/operations.md, where a person looks it up."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
OPERATIONS = (CHECKOUT / "docs" / "operations.md").read_text()
CALLED = re.compile(r'(?:\.ring|\.happened)\(\s*f?"([a-z_]+)|^ALARM = "([a-z_]+)"', re.MULTILINE)
WATCHED = re.compile(r'found\[f?"([a-z_]+)|"([a-z_]+)": \(self\.')


def rung() -> set[str]:
    """What the names of alarms begin with."""
    app = CHECKOUT / "app"
    found = [match for file in sorted(app.rglob("*.py")) for match in CALLED.findall(file.read_text())]
    found += [
        match
        for name in ("services/watch", "kafka/broker_watch")
        for match in WATCHED.findall((app / f"{name}.py").read_text())
    ]
    return {name.rstrip("_") for match in found for name in match if name}


def test_every_alarm_has_a_row() -> None:
    documented = " ".join(line.split("|")[1] for line in OPERATIONS.splitlines() if line.startswith("| `"))
    assert {name for name in rung() if f"`{name}" not in documented} == set()


def test_the_alarms_of_the_watch_are_among_those_that_are_looked_for() -> None:
    assert {"broker_away", "topics_missing", "commands_stalled", "watch_missing", "offset", "held_snapshot"} <= rung()
