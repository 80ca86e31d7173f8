"""The log: one line an event, with its correlation id, without what libraries would tell."""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.utils.log_writer import LogWriter
from app.utils.logging import (
    LIBRARY_LINES,
    LIBRARY_REPEAT_SECONDS,
    REPEAT_SECONDS,
    Repeats,
    about,
    configure,
    correlation_id,
    kafka_is_away,
    keeping_ids,
)


class Written:
    """A file that the log is written to."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor = os.open(file, os.O_CREAT | os.O_WRONLY)
        self.handler = LogWriter(self._descriptor)

    def getvalue(self) -> str:
        self.handler.await_written()
        return self._file.read_text(encoding="utf-8")

    def close(self) -> None:
        self.handler.close()
        os.close(self._descriptor)


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Written]:
    """What is written after `set_up`; the loggers are as they were afterwards."""
    names = ("", "app", "gunicorn.error", "gunicorn.access", "kafka")
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    handlers = list(logging.root.handlers)
    logging.root.handlers[:] = []
    written = Written(tmp_path / "log")
    yield written
    written.close()
    for logger, level in before:
        logger.setLevel(level)
    logging.root.handlers[:] = handlers
    correlation_id.set(None)


def set_up(level: str, style: str, lines: Written) -> None:
    configure(level, style, lines.handler)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_line_of_text_names_its_correlation_id(lines: Written) -> None:
    set_up("info", "text", lines)
    correlation_id.set("corr-1")
    logging.getLogger("app.test").info("done %s", 5)
    assert lines.getvalue().endswith("INFO MainThread app.test [corr-1] done 5\n")


def test_a_line_names_the_thread_and_the_request_that_logged_it(lines: Written) -> None:
    set_up("info", "text", lines)

    def log() -> None:
        correlation_id.set("theirs")
        logging.getLogger("app.test").info("done")

    thread = threading.Thread(target=log, name="relay")
    thread.start()
    thread.join()
    assert lines.getvalue().endswith("INFO relay app.test [theirs] done\n")


def test_a_line_of_json_is_one_object(lines: Written) -> None:
    set_up("info", "json", lines)
    correlation_id.set("corr-1")
    logging.getLogger("app.test").warning("two\nlines")
    line = json.loads(lines.getvalue())
    assert (line["level"], line["logger"], line["correlation_id"]) == ("WARNING", "app.test", "corr-1")
    assert (line["message"], line["time"][-6:]) == ("two\nlines", "+00:00")
    assert lines.getvalue().count("\n") == 1


def test_an_exception_stays_in_its_line_of_json(lines: Written) -> None:
    set_up("info", "json", lines)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("app.test").exception("failed")
    assert json.loads(lines.getvalue())["exception"].endswith("ValueError: broken")
    assert lines.getvalue().count("\n") == 1


def test_a_lone_surrogate_does_not_break_a_line_of_json(lines: Written) -> None:
    set_up("info", "json", lines)
    logging.getLogger("app.test").warning("path %s", "/\udcff")
    assert json.loads(lines.getvalue())["message"].startswith("path /")


@pytest.mark.parametrize(("level", "seen"), [("debug", True), ("INFO", True), ("warning", False)])
def test_our_level_is_the_setting(lines: Written, level: str, seen: bool) -> None:
    set_up(level, "text", lines)
    logging.getLogger("app.test").info("line")
    assert ("line" in lines.getvalue()) is seen


def test_libraries_speak_from_warning_on_whatever_our_level_is(lines: Written) -> None:
    set_up("debug", "text", lines)
    for name in ("kafka.client", "werkzeug", "alembic"):
        logging.getLogger(name).info("quiet")
        logging.getLogger(name).warning("loud")
    assert (lines.getvalue().count("quiet"), lines.getvalue().count("loud")) == (0, 3)


def test_what_kafka_says_below_warning_is_never_written(lines: Written) -> None:
    """[H1] Its debug lines hold keys and values."""
    set_up("debug", "text", lines)
    logging.getLogger("kafka").setLevel(logging.DEBUG)
    logging.getLogger("kafka.producer").debug("payload")
    assert lines.getvalue() == ""


def test_kafkas_client_says_the_same_once_and_ours_is_left_alone(lines: Written, clock: list[float]) -> None:
    set_up("info", "text", lines)
    for now in range(1000, 1290):
        clock[0] = now
        logging.getLogger("kafka.client").warning("absent, attempt %s to port %s", now, 9092)
        logging.getLogger("app.test").warning("ours")
    assert lines.getvalue().count("absent") == 1
    assert lines.getvalue().count("ours") == 290
    clock[0] = 1000 + LIBRARY_REPEAT_SECONDS
    logging.getLogger("kafka.client").warning("absent, attempt 5 to port 9092")
    assert "absent, attempt 5 to port 9092 (and 289 lines of Kafka's client left out)" in lines.getvalue()


def test_of_kafkas_client_a_few_lines_a_minute_are_written_whatever_they_are(
    lines: Written, clock: list[float]
) -> None:
    set_up("info", "text", lines)
    for number in range(100):
        logging.getLogger("kafka.net").error("trouble %s", "x" * number)
    assert lines.getvalue().count("trouble") == LIBRARY_LINES
    clock[0] += REPEAT_SECONDS
    logging.getLogger("kafka.net").error("another trouble")
    assert f"another trouble (and {100 - LIBRARY_LINES} lines of Kafka's client left out)" in lines.getvalue()


def test_while_no_broker_answers_kafkas_lines_are_only_counted(lines: Written, clock: list[float]) -> None:
    set_up("info", "text", lines)
    kafka_is_away.set()
    try:
        logging.getLogger("kafka.net").error("no connection")
    finally:
        kafka_is_away.clear()
    assert lines.getvalue() == ""
    logging.getLogger("kafka.net").error("no leader")
    assert "no leader (and 1 lines of Kafka's client left out)" in lines.getvalue()


def test_a_line_is_said_again_after_a_while_with_the_number_of_those_left_out(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    repeats, said = Repeats(), logging.getLogger("app.test")
    for line in ("offset 1", "offset 2", "other", "offset 3"):
        repeats.say(said, logging.WARNING, line)
    clock[0] += REPEAT_SECONDS
    repeats.say(said, logging.WARNING, "offset 4")
    assert caplog.messages == ["offset 1", "other", "offset 4 (2 more like this meanwhile)"]


BREAKS = ("\n", "\r", "\x1b", "\x85", "\u2028")


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_a_caller_sends_begins_no_line_of_the_log(lines: Written, style: str) -> None:
    """Neither in a message nor in a correlation id, which a command may make of any characters [K10]."""
    set_up("info", style, lines)
    for character in BREAKS:
        forged = f"/x{character}2026-01-01 ERROR forged"
        correlation_id.set(forged)
        logging.getLogger("app.test").error("asked for %s", forged)
    assert len(lines.getvalue().splitlines()) == 5
    assert "\x1b" not in lines.getvalue()


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("character", BREAKS)
def test_the_text_of_an_exception_begins_no_line_of_the_log(lines: Written, style: str, character: str) -> None:
    """The lines of a traceback are indented."""
    set_up("info", style, lines)
    try:
        raise ValueError(f"no such id: x{character}2026-01-01 ERROR forged")
    except ValueError:
        logging.getLogger("app.test").exception("failed")
    written = lines.getvalue()
    assert "ValueError: no such id" in written
    assert not any(line.startswith("2026-01-01 ERROR forged") for line in written.splitlines())
    assert "\x1b" not in written


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_line_names_the_trace_of_what_it_is_about(style: str, lines: Written) -> None:
    set_up("info", style, lines)
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    about("corr-1", f"00-{trace_id}-b7ad6b7169203331-01")
    with keeping_ids():
        about("corr-2")
        logging.getLogger("app.test").info("without")
    logging.getLogger("app.test").info("with")
    about(None)
    without, has = lines.getvalue().splitlines()
    assert "trace" not in without
    if style == "text":
        assert has.endswith(f"INFO MainThread app.test [corr-1 trace_id={trace_id}] with")
    else:
        assert json.loads(has)["trace_id"] == trace_id
