"""The log: one line an event, with its correlation id, without what libraries would tell."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from app.utils import logging as subject
from app.utils.logging import LIBRARY_LINES_PER_SECOND, configure, correlation_id


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is written after `set_up`; the loggers are as they were afterwards."""
    names = ("", "app", "gunicorn.error", "gunicorn.access", "kafka")
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    handlers = list(logging.root.handlers)
    logging.root.handlers[:] = []
    yield io.StringIO()
    for logger, level in before:
        logger.setLevel(level)
    logging.root.handlers[:] = handlers
    correlation_id.set(None)


def set_up(level: str, style: str, lines: io.StringIO) -> None:
    configure(level, style)
    (handler,) = logging.root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(lines)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(subject.time, "monotonic", lambda: now[0])
    return now


def test_a_line_of_text_names_its_correlation_id(lines: io.StringIO) -> None:
    set_up("info", "text", lines)
    correlation_id.set("corr-1")
    logging.getLogger("app.test").info("done %s", 5)
    assert lines.getvalue().endswith("INFO MainThread app.test [corr-1] done 5\n")


def test_a_line_of_json_is_one_object(lines: io.StringIO) -> None:
    set_up("info", "json", lines)
    correlation_id.set("corr-1")
    logging.getLogger("app.test").warning("two\nlines")
    line = json.loads(lines.getvalue())
    assert (line["level"], line["logger"], line["correlation_id"]) == ("WARNING", "app.test", "corr-1")
    assert (line["message"], line["time"][-6:]) == ("two\nlines", "+00:00")
    assert lines.getvalue().count("\n") == 1


def test_an_exception_stays_in_its_line_of_json(lines: io.StringIO) -> None:
    set_up("info", "json", lines)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("app.test").exception("failed")
    assert json.loads(lines.getvalue())["exception"].endswith("ValueError: broken")
    assert lines.getvalue().count("\n") == 1


def test_a_lone_surrogate_does_not_break_a_line_of_json(lines: io.StringIO) -> None:
    set_up("info", "json", lines)
    logging.getLogger("app.test").warning("path %s", "/\udcff")
    assert json.loads(lines.getvalue())["message"].startswith("path /")


@pytest.mark.parametrize(("level", "seen"), [("debug", True), ("INFO", True), ("warning", False)])
def test_our_level_is_the_setting(lines: io.StringIO, level: str, seen: bool) -> None:
    set_up(level, "text", lines)
    logging.getLogger("app.test").info("line")
    assert ("line" in lines.getvalue()) is seen


def test_libraries_speak_from_warning_on_whatever_our_level_is(lines: io.StringIO) -> None:
    set_up("debug", "text", lines)
    for name in ("kafka.client", "werkzeug", "alembic"):
        logging.getLogger(name).info("quiet")
        logging.getLogger(name).warning("loud")
    assert (lines.getvalue().count("quiet"), lines.getvalue().count("loud")) == (0, 3)


def test_what_kafka_says_below_warning_is_never_written(lines: io.StringIO) -> None:
    """[H1] Its debug lines hold keys and values."""
    set_up("debug", "text", lines)
    logging.getLogger("kafka").setLevel(logging.DEBUG)
    logging.getLogger("kafka.producer").debug("payload")
    assert lines.getvalue() == ""


def test_kafkas_warnings_are_bounded_each_second_and_ours_are_not(lines: io.StringIO, clock: list[float]) -> None:
    set_up("info", "text", lines)
    for now in (1000.0, 1000.9, 1001.0):
        clock[0] = now
        for _ in range(50):
            logging.getLogger("kafka.client").warning("absent")
            logging.getLogger("app.test").warning("ours")
    assert lines.getvalue().count("absent") == 2 * LIBRARY_LINES_PER_SECOND
    assert lines.getvalue().count("ours") == 150


@pytest.mark.parametrize(
    ("logger", "error", "level", "traced"),
    [
        ("gunicorn.error", BlockingIOError(11, "Resource temporarily unavailable"), "WARNING", False),
        ("gunicorn.error", OSError(5, "Input/output error"), "ERROR", True),
        ("app.test", BlockingIOError(11, "Resource temporarily unavailable"), "ERROR", True),
    ],
)
def test_a_client_that_stops_is_worth_a_line_and_no_trace(
    lines: io.StringIO, logger: str, error: OSError, level: str, traced: bool
) -> None:
    """Its socket's time-out; any other trouble keeps its trace."""
    set_up("info", "json", lines)
    try:
        raise error
    except OSError:
        logging.getLogger(logger).exception("Socket error processing request.")
    line = json.loads(lines.getvalue())
    assert (line["level"], "exception" in line) == (level, traced)
    assert ("a client stopped" in line["message"]) is not traced
