"""What the benchmarks' tables say follows from their figures, and a wrong event does not pass."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.benchmarks import __main__ as program
from tests.benchmarks import cases as cases_folder
from tests.benchmarks.before import check_out, commit_of
from tests.benchmarks.bench import Options
from tests.benchmarks.cases import load_cases, loops
from tests.benchmarks.check import FIELDS, Announced, event_differs
from tests.benchmarks.client import is_whole
from tests.benchmarks.environment import LeftOut, agrees, node_modules, node_versions
from tests.benchmarks.measure import Sample, interleaved, median, percentile
from tests.benchmarks.peers.orders import change_event
from tests.benchmarks.servers import COMMANDS
from tests.benchmarks.table import TARGETS, Result, Target, cpu, figure, rates, ratio_table, target_table, times
from tools.sections import write_section

NOW = datetime(2026, 11, 22, 12, 0, 0, 500, UTC).replace(tzinfo=None)  # as the table holds it
LATER = NOW.replace(microsecond=501)


def row(**changed: Any) -> dict[str, Any]:
    values = dict.fromkeys(FIELDS.values())
    values |= {"order_id": "o-1", "cust_id": "c-1", "food_fee": Decimal("19.75"), "delivery_fee": Decimal("2.99")}
    values |= {"order_status": "PENDING", "version": 1, "created_at": NOW, "updated_at": NOW}
    return values | changed


@pytest.mark.parametrize(
    ("value", "verdict"), [(8.0, "aim reached"), (4.0, "reached"), (3.0, "missed by 25 %"), (0.4, "missed by 90 %")]
)
def test_a_ratio_is_judged_by_how_much_it_reaches(value: float, verdict: str) -> None:
    assert Target("ratio", 4, 8).verdict(value) == verdict


@pytest.mark.parametrize(
    ("value", "verdict"), [(2.0, "aim reached"), (5.0, "reached"), (6.0, "missed by 20 %"), (15.0, "missed by 200 %")]
)
def test_a_limit_is_judged_by_how_much_it_is_exceeded(value: float, verdict: str) -> None:
    assert Target("limit", 5, 2, "ms").verdict(value) == verdict


def test_the_ratio_of_times_is_inverted() -> None:
    slow, fast = Sample(p50=100.0, rate=10.0), Sample(p50=1.0, rate=1000.0)
    assert times("list_first", fast, slow).value == rates("get", fast, slow).value == 100.0


def test_a_figure_that_is_missing_is_no_ratio() -> None:
    with pytest.raises(ValueError, match="no such figure"):
        rates("get", Sample(rate=1.0), Sample())


def test_the_table_has_both_sides_and_the_verdict() -> None:
    line = ratio_table([rates("get", Sample(rate=3000.0), Sample(rate=1500.0))], 20_000)[-1]
    assert line == "| getOrderDetails ÷ ORM | 3,000 /s | 1,500 /s | 2.00 | 2 | 3 | reached |"


def test_a_title_says_how_many_orders_there_were() -> None:
    line = ratio_table([times("list_deep", Sample(p50=1.0), Sample(p50=50.0))], 20_000)[-1]
    assert line.startswith("| list page 1,000 with exact total at 20,000 orders ÷ OFFSET + count, time |")


@pytest.mark.parametrize(("share", "value"), [(50, 50), (99, 99), (99.5, 100), (0, 1)])
def test_a_percentile_is_a_value_that_was_seen(share: float, value: float) -> None:
    assert percentile([float(it) for it in range(100, 0, -1)], share) == value


def test_medians_are_of_each_figure_by_itself() -> None:
    samples = [Sample(rate=1.0, p50=9.0), Sample(rate=3.0, p50=7.0), Sample(rate=2.0)]
    assert median(samples) == Sample(rate=2.0, p50=8.0)


def test_sides_take_turns_after_a_short_round_that_does_not_count() -> None:
    seen = []

    def side(name: str, seconds: float) -> dict[str, Sample]:
        seen.append((name, seconds))
        return {name: Sample(rate=seconds)}

    found = interleaved([lambda it: side("a", it), lambda it: side("b", it)], 2, 3.0)
    assert seen == [("a", 1.0), ("b", 1.0), ("a", 3.0), ("b", 3.0), ("a", 3.0), ("b", 3.0)]
    assert found == {"a": Sample(rate=3.0), "b": Sample(rate=3.0)}


def created() -> Announced:
    event = change_event(SimpleNamespace(**row()), "ORDER_CREATED", "created", "id")
    return Announced(str(event.event_id), event.key, event.payload)


def test_an_event_that_tells_the_row_passes() -> None:
    assert event_differs(created(), row(), "ORDER_CREATED") == {}


@pytest.mark.parametrize(
    ("column", "value"), [("food_fee", Decimal("19.76")), ("version", 2), ("runner_id", "r-1"), ("updated_at", LATER)]
)
def test_an_event_that_tells_another_row_is_found(column: str, value: object) -> None:
    assert event_differs(created(), row(**{column: value}), "ORDER_CREATED")


def test_an_event_of_another_order_or_kind_or_id_is_found() -> None:
    other = replace(created(), order_id="o-2", event_id="another")
    assert set(event_differs(other, row(), "ORDER_ACCEPTED")) == {"key", "type", "event_id"}


def test_a_section_is_replaced_between_its_marks_only(tmp_path: Path) -> None:
    document = tmp_path / "it.md"
    document.write_text("before\n<!-- a begins -->\nold\n<!-- a ends -->\nafter\n")
    write_section(document, "a", ["new", "lines"])
    assert document.read_text() == "before\n<!-- a begins -->\nnew\nlines\n<!-- a ends -->\nafter\n"
    with pytest.raises(ValueError, match="no place for b"):
        write_section(document, "b", ["new"])


@pytest.mark.parametrize(("value", "verdict"), [(0.4, "aim reached"), (0.5, "reached"), (0.6, "missed by 20 %")])
def test_a_ratio_of_costs_is_the_better_the_smaller_it_is(value: float, verdict: str) -> None:
    assert Target("cost", 0.5, 0.4, most=True).verdict(value) == verdict


def test_a_target_without_an_aim_is_reached_at_most() -> None:
    limit = Target("limit", 50, None, "ms")
    assert [limit.verdict(1.0), limit.shown(limit.least), limit.shown(limit.aim)] == ["reached", "≤ 50 ms", "-"]


def test_cpu_is_compared_by_what_the_server_takes_for_each() -> None:
    ours, before = (Sample(server_cpu=server, postgres_cpu=0.05, rate=1200.0) for server in (0.1, 0.4))
    line = ratio_table([cpu("before_get", ours, before)], 1)[-1]
    assert line.endswith("| 1,200 /s (0.10 + 0.05 ms) | 1,200 /s (0.40 + 0.05 ms) | 0.25 | ≤ 0.4 | ≤ 0.2 | reached |")


def test_a_side_without_a_server_has_the_cost_of_postgresql_alone() -> None:
    assert rates("create_pgbench", Sample(rate=1.0), Sample(rate=2.0, postgres_cpu=0.2)).peer == "2 /s (0.20 ms)"


def test_the_table_of_targets_is_whole_whoever_was_left_out() -> None:
    result = Result([figure("start", 0.5)], left_out={"create_fastify": "Node is not installed here"})
    _, _, *lines = target_table(result, 20_000)
    verdicts = dict(zip(TARGETS, (line.split(" | ")[-1].removesuffix(" |") for line in lines), strict=True))
    assert verdicts["create_fastify"] == "not measured: Node is not installed here"
    assert (verdicts["start"], verdicts["get"]) == ("aim reached", "not measured")


def test_what_came_of_two_cases_is_one_result() -> None:
    whole = Result([figure("start", 0.5)], {"a": Sample(rate=1.0)}, left_out={"get": "gone"})
    whole.add(Result([figure("memory", 80.0)], {"b": Sample(rate=2.0)}, {"own": ["line"]}, {"accept": "gone"}))
    assert [row.target for row in whole.rows] == ["start", "memory"]
    assert (list(whole.samples), list(whole.sections), list(whole.left_out)) == (["a", "b"], ["own"], ["get", "accept"])


def test_each_target_belongs_to_a_case_and_each_peer_of_the_loops_has_a_command() -> None:
    cases = "".join(file.read_text() for file in Path(cases_folder.__file__).parent.glob("*.py"))
    assert [name for name in TARGETS if f'"{name}"' not in cases] == []
    assert {*loops.CREATES.values(), *loops.GETS.values()} <= COMMANDS.keys()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    run = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True)
    run(["git", "init", "--quiet"])
    (tmp_path / "requirements.txt").write_text("")
    run(["git", "add", "."])
    run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "it"])
    return tmp_path


def test_a_clone_without_the_version_before_leaves_it_out(clone: Path) -> None:
    with pytest.raises(LeftOut, match="has not got the commit"):
        check_out(clone / "tree", lambda _: None, checkout=clone)


def test_no_clone_at_all_leaves_it_out_too(tmp_path: Path) -> None:
    with pytest.raises(LeftOut, match="has not got the commit"):
        commit_of(tmp_path / "gone")


def test_the_worktree_of_the_version_before_is_gone_at_the_end(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.before.COMMIT", "HEAD")
    at_end: list[Any] = []
    check_out(clone / "tree", at_end.append, checkout=clone)
    assert (clone / "tree" / "requirements.txt").exists()
    at_end.pop()()
    listed = subprocess.run(["git", "worktree", "list"], cwd=clone, check=True, capture_output=True, text=True).stdout
    assert (len(listed.splitlines()), (clone / "tree").exists()) == (1, False)


def test_requirements_agree_where_each_version_is_the_installed_one() -> None:
    assert agrees(
        f"pytest=={pytest.__version__} \\\n    --hash=sha256:0 \\\n    # via -r it\ncolorama==0 ; python == '2' \\\n"
    )
    assert not agrees("pytest==0.1 \\\n    --hash=sha256:0\n")
    assert not agrees("a-package-that-nobody-has==1 \\\n")


def test_without_node_its_peer_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LeftOut, match="Node is not installed here"):
        node_modules()
    assert node_versions() == "no peer on Node: Node is not installed here"


def test_a_node_that_is_too_old_leaves_its_peer_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text("#!/bin/sh\necho v18.1.0\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(LeftOut, match=r"v18\.1\.0 is older than 20"):
        node_modules()


@pytest.mark.parametrize(
    ("head", "body", "whole"),
    [
        (b"http/1.1 200 ok\r\ncontent-length: 3", b"abc", True),
        (b"http/1.1 200 ok\r\ncontent-length: 3", b"ab", False),
        (b"http/1.1 200 ok\r\ntransfer-encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n", True),
        (b"http/1.1 200 ok\r\ntransfer-encoding: chunked", b"3\r\nabc\r\n", False),
    ],
)
def test_the_client_knows_when_an_answer_is_whole(head: bytes, body: bytes, whole: bool) -> None:
    assert is_whole(head, body) is whole


def test_a_whole_run_is_written_whoever_was_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "it.md"
    names = ("targets", "figures", "configuration")
    document.write_text("".join(f"<!-- {name} begins -->\nold\n<!-- {name} ends -->\n" for name in names))
    monkeypatch.setattr(program, "DOCUMENT", document)
    result = Result([figure("start", 0.5)], {"a": Sample(rate=1.0)}, left_out={"get_fastify": "gone"})
    whole = [it for it in load_cases().values() if not it.by_name]
    program.write("now", program.sections_of(result, ["- about"], 1), whole, Options())
    text = document.read_text()
    assert "old" not in text
    assert "- about\n- left out: get_fastify: gone\n" in text
    assert "| 2 | not measured: gone |" in text
    document.write_text(text.replace("- about", "old"))
    program.write("now", program.sections_of(result, ["- about"], 1), whole[1:], Options())
    program.write("now", program.sections_of(result, ["- about"], 1), whole, Options(rounds=1))
    assert "- about" not in document.read_text(), "a run of some cases, or a short one, speaks for none"


def test_the_document_has_a_place_for_all_that_is_written() -> None:
    names = ["targets", "figures", "configuration", *(it.name for it in load_cases().values() if it.by_name)]
    text = program.DOCUMENT.read_text()
    assert [
        name for name in names if f"<!-- {name} begins -->" not in text or f"<!-- {name} ends -->" not in text
    ] == []


def test_cases_run_in_the_order_of_their_modules() -> None:
    names = list(load_cases())
    assert names[:4] == ["before", "create", "create_loops", "get_loops"]
    assert names.index("list_first") + 1 == names.index("list_deep") < names.index("pages_beside")
