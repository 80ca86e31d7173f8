"""An open loop's arrivals are fixed beforehand, and its picture shows what was seen."""

import itertools
import xml.etree.ElementTree as ElementTree

from tests.benchmarks.cases.overload import Measured, calm_after, draw
from tests.benchmarks.open_loop import CREATE, KINDS, Plan, Requests, Seen
from tests.benchmarks.picture import Line, Panel, picture

KIND = KINDS.index(CREATE)


def plan(*phases: tuple[float, float]) -> Plan:
    return Plan(1, list(phases), 10, {CREATE: 1.0}, '{"customer_id": "@"}', [])


def seen(*rows: tuple[float, int, float]) -> Seen:
    """What an open loop saw of creates: when each was due, its status, its ms."""
    found = Seen()
    for due, status, ms in rows:
        found.add(due, KIND, status, ms)
    return found


def test_arrivals_follow_each_other_at_the_rate_of_their_phase() -> None:
    times = list(plan((1.0, 2.0), (1.0, 4.0)).arrivals())
    assert times == [0.0, 0.5, 1.0, 1.25, 1.5, 1.75]


def test_each_create_has_a_key_of_its_own_and_a_repeat_has_that_of_an_answered_one() -> None:
    requests = Requests(plan((1.0, 1.0)))
    first, second = (requests.make(KIND) for _ in range(2))
    requests.answered(first)
    assert first != second
    assert requests.make(KINDS.index("repeat")) == first
    assert list(itertools.islice(requests.kinds(), 3)) == [KIND] * 3


def test_good_answers_count_from_when_the_lines_are_full_to_the_end_of_the_round() -> None:
    early, counted, refused, late = (0.0, 201, 5.0), (0.9, 201, 500.0), (1.5, 503, 5.0), (2.9, 201, 500.0)
    assert Measured(seen(early, counted, refused, late), 3.0, ()).rate == 0.5


def test_it_is_calm_after_the_last_call_that_was_refused_or_slow() -> None:
    found = seen((9.0, 503, 1.0), (11.0, 503, 1.0), (12.5, 201, 1500.0), (13.0, 201, 5.0))
    assert calm_after(found, 10.0) == 2.5
    assert calm_after(found, 12.9) == 0.0


def test_the_picture_is_well_formed_and_names_its_lines() -> None:
    drawn = draw(seen((0.1, 201, 5.0), (0.6, 503, 1.0), (1.2, 201, 1200.0)), (0.5, 1.0), 2.0, "10 times <the> rate")
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own text
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {*KINDS, "answered well", "503", "10 times <the> rate", "one second"} <= texts


def test_a_line_is_interrupted_where_it_has_no_value() -> None:
    drawn = picture("it", [Panel("panel", [Line("line", [(0, 1.0), (1, None), (2, 3.0)])])], 2.0, (0.0, 1.0), "")
    assert drawn.count("<polyline") == 2
