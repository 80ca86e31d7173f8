"""Counters of several workers in one folder: slots, sums, and what a worker leaves behind."""

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from app.server import metrics_folder
from app.server.metrics_folder import HANDED_OVER, open_folder
from tests.harness.service import CHECKOUT

WORKER = """
    import sys
    from pathlib import Path
    from app.utils import metric_files
    from app.utils.exposition import exposition
    from app.utils.metrics import CONNECTIONS, LEADER, LOOP_LATE, REFUSALS, REQUEST_TIME

    def shown(*beginnings):
        lines = exposition([]).decode().splitlines()
        return [line for line in lines if line.startswith(beginnings)]

    REFUSALS.labels("early", "http").inc()
    metric_files.keep_in(Path(sys.argv[1]))
"""


def worker(folder: Path, program: str) -> list[str]:
    """Run the program in a process with a slot; return what it prints."""
    text = textwrap.dedent(WORKER) + textwrap.dedent(program)
    command = [sys.executable, "-c", text, str(folder)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_worker_goes_on_where_the_one_before_it_ended_and_its_gauges_begin_anew(tmp_path: Path) -> None:
    program = """
        LEADER.labels("events").set(1)
        REFUSALS.labels("no", "http").inc(2)
        LOOP_LATE.observe(0.003)
        late = 'order_loop_late_seconds_bucket{le="0.005"}'
        print(*shown("order_refusals_total{", "order_relay_leader", late), sep="\\n")
    """
    first, second = worker(tmp_path, program), worker(tmp_path, program)
    assert sorted(first) == [
        'order_loop_late_seconds_bucket{le="0.005"} 1.0',
        'order_refusals_total{code="early",door="http"} 1.0',
        'order_refusals_total{code="no",door="http"} 2.0',
        'order_relay_leader{lane="events"} 1.0',
    ]
    assert sorted(second) == [
        'order_loop_late_seconds_bucket{le="0.005"} 2.0',
        'order_refusals_total{code="early",door="http"} 2.0',
        'order_refusals_total{code="no",door="http"} 4.0',
        'order_relay_leader{lane="events"} 1.0',
    ]
    assert {path.name.rpartition("_")[2] for path in tmp_path.iterdir()} == {"0.lock", "0.db"}


def test_another_release_may_word_buckets_and_descriptions_otherwise(tmp_path: Path) -> None:
    worker(tmp_path, 'REQUEST_TIME.labels("/x", "GET").observe(0.003)')
    shown = worker(
        tmp_path,
        """
        from prometheus_client import REGISTRY, Histogram
        REGISTRY.unregister(REQUEST_TIME)
        other = Histogram("order_http_request_seconds", "In other words", ["route", "method"], buckets=(0.004, 1))
        other.labels("/x", "GET").observe(0.5)
        print(*shown("order_http_request_seconds"), sep="\\n")
        """,
    )
    by_bound = {line.split('le="')[1].split('"')[0]: float(line.split()[-1]) for line in shown if "_bucket" in line}
    assert (by_bound["0.002"], by_bound["0.004"], by_bound["0.005"], by_bound["0.5"]) == (0, 0, 1, 1)
    assert (by_bound["1.0"], by_bound["+Inf"], list(by_bound)[-1]) == (2, 2, "+Inf")
    assert [line for line in shown if "_count" in line] == [
        'order_http_request_seconds_count{method="GET",route="/x"} 2.0'
    ]


def test_files_grow_with_the_series_and_a_series_without_room_is_counted_in_memory(tmp_path: Path) -> None:
    program = """
        import os
        for number in range(1000):
            REFUSALS.labels(str(number), "http").inc()
        print(len(shown("order_refusals_total")))
        full = lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        os.posix_fallocate = full
        for number in range(1000, 5000):
            REFUSALS.labels(str(number), "http").inc()
        print(1001 < len(shown("order_refusals_total")) < 5000)
        print(int(REFUSALS.labels("4999", "http")._value.get()))
    """
    assert worker(tmp_path, program) == ["1001", "True", "1"]


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(metrics_folder, "IN_MEMORY", tmp_path)
    return tmp_path


def test_masters_have_folders_of_their_own_and_the_next_one_removes_what_a_killed_one_left(memory: Path) -> None:
    killed, living = open_folder({}), open_folder({})
    (killed.path / "counter_0.db").touch()
    assert sorted(memory.iterdir()) == sorted({killed.path, living.path})
    os.close(killed._descriptor)
    new = open_folder({})
    assert sorted(memory.iterdir()) == sorted({living.path, new.path})
    living.close()
    new.close()
    assert list(memory.iterdir()) == []


def test_the_master_that_another_one_starts_goes_on_in_its_folder_and_the_last_one_removes_it(memory: Path) -> None:
    old = open_folder({})
    new = open_folder({"GUNICORN_PID": "7", HANDED_OVER: str(old.path)})
    assert new.path == old.path
    old.close()
    assert list(memory.iterdir()) == [new.path]
    new.close()
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize("handed_over", ["", "/no/such/folder", "folder of others"])
def test_a_folder_that_is_gone_or_not_ours_is_not_gone_on_in(
    memory: Path, tmp_path_factory: pytest.TempPathFactory, handed_over: str
) -> None:
    others = tmp_path_factory.mktemp("folder of others")
    made = open_folder({"GUNICORN_PID": "7", HANDED_OVER: str(others) if "others" in handed_over else handed_over})
    try:
        assert made.path.parent == memory
    finally:
        if made.path != others:
            made.close()


def test_without_a_file_system_in_memory_the_folder_is_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_folder, "IN_MEMORY", tmp_path / "none")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = open_folder({})
    assert made.path.parent == tmp_path
    made.close()
