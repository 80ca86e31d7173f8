"""API keys: their text, their file, and the ring that each process holds."""

import logging
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.database.api_keys import ApiKeyTable
from app.models.api_keys import SECRET_BITS, ApiKey, digest_of, id_in, is_whole, text_of
from app.models.callers import Caller, Scope, is_name
from app.models.errors import DatabaseAway, DatabaseReadOnly, Unauthenticated
from app.services.api_keys import FILE_ALARM, ApiKeys
from app.utils.alarms import Alarms
from app.wire import key_file

ID = "0123456789ab"
TEXT = text_of(ID, 2**SECRET_BITS - 1)  # not random: processes that share the tests must find the same names
READER = Caller("the reader", frozenset({Scope.READ, Scope.WRITE}))
KEY = ApiKey(ID, digest_of(TEXT), READER)


class Table:
    """The table as a test sets it: `trouble` is raised by every call."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = list(keys)
        self.noted: list[list[str]] = []
        self.trouble: Exception | None = None

    def valid(self) -> list[ApiKey]:
        if self.trouble is not None:
            raise self.trouble
        return list(self.keys)

    def note_use(self, ids: Collection[str]) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.noted.append(sorted(ids))


def ring(table: Table, file: str = "", alarms: Alarms | None = None) -> ApiKeys:
    return ApiKeys(cast(ApiKeyTable, table), file, alarms or Alarms())


def refusal(keys: ApiKeys, text: str = TEXT) -> str:
    with pytest.raises(Unauthenticated) as refused:
        keys.verify(text)
    return str(refused.value)


@given(st.integers(0, 2**SECRET_BITS - 1))
def test_a_key_has_its_id_and_all_bits_of_its_secret(secret: int) -> None:
    text = text_of(ID, secret)
    assert is_whole(text)
    assert id_in(text) == ID
    assert len(text) == len(TEXT)
    assert text != text_of(ID, secret ^ 1)
    assert text[:-8] != text_of(ID, secret ^ (1 << (SECRET_BITS - 1)))[:-8]


@given(st.integers(0, len(TEXT) - 1), st.sampled_from("0aZ_-"))
def test_a_key_with_a_typo_is_told_by_its_checksum(place: int, letter: str) -> None:
    changed = TEXT[:place] + letter + TEXT[place + 1 :]
    assert is_whole(changed) == (changed == TEXT)


@pytest.mark.parametrize(
    "text", ["", "ok_", TEXT[:-1], TEXT + "0", TEXT.upper(), f" {TEXT}", f"{TEXT}\n", "eyJhbGciOi"]
)
def test_other_text_is_no_key(text: str) -> None:
    assert not is_whole(text)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("front end", True), ("ü" * 255, True), ("", False), ("x" * 256, False), (" x", False), ("a\nb", False)],
)
def test_a_name_is_printable(name: str, is_one: bool) -> None:
    assert is_name(name) == is_one


def test_a_file_has_a_key_per_line() -> None:
    text = f"# the front end\n\n  {key_file.line_of(KEY)}  \n\t# {TEXT}\n"
    assert key_file.parse(text) == [KEY]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (TEXT, "must have an id, a SHA-256, scopes and a name"),
        (f"{ID} {KEY.digest.hex()} operator", "must have an id, a SHA-256, scopes and a name"),
        (f"{TEXT} {KEY.digest.hex()} operator name", "has no id of a key at its beginning"),
        (f"{ID} {TEXT} operator name", "has no SHA-256 in 64 hexadecimal digits behind its id"),
        (f"{ID} {KEY.digest.hex()} orders:all name", "has a scope that is none of orders:read, orders:write, operator"),
        (f"{ID} {KEY.digest.hex()} operator na\x07me", "must have a name of 1 to 255 printable characters"),
        (key_file.line_of(KEY), "has an id that a line before has"),
    ],
)
def test_a_bad_line_is_named_and_not_shown(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^line 3 ") as refused:
        key_file.parse(f"{key_file.line_of(KEY)}\n\n{line}\n")
    assert str(refused.value) == f"line 3 {why}"


def test_a_valid_key_is_its_callers() -> None:
    keys = ring(Table(KEY))
    keys.refresh()
    assert keys.verify(TEXT) == READER


def test_a_key_that_was_revoked_is_refused_after_the_next_look() -> None:
    table = Table(KEY)
    keys = ring(table)
    keys.refresh()
    table.keys.clear()
    keys.refresh()
    assert refusal(keys) == "The API key is not known, or was revoked"


def test_another_secret_under_a_known_id_is_refused() -> None:
    keys = ring(Table(KEY))
    keys.refresh()
    assert refusal(keys, text_of(ID, 1)) == "The API key is not known, or was revoked"
    assert refusal(keys, TEXT[:-1] + "g") == "The API key is not whole: it was copied wrongly"


def test_a_key_expires_between_two_looks() -> None:
    table = Table(ApiKey(ID, KEY.digest, READER, time.time() - 0.001))
    keys = ring(table)
    keys.refresh()
    assert refusal(keys) == "The API key has expired"
    table.keys = [ApiKey(ID, KEY.digest, READER, time.time() + 60)]
    keys.refresh()
    assert keys.verify(TEXT) == READER


def test_without_the_database_the_ring_keeps_what_it_knows() -> None:
    table = Table(KEY)
    keys = ring(table)
    table.trouble = DatabaseAway("The database is away")
    keys.refresh()
    with pytest.raises(DatabaseAway, match="not known yet"):  # at a start nobody can tell a good key from a bad one
        keys.verify(TEXT)
    assert not keys.is_known
    table.trouble = None
    keys.refresh()
    table.trouble = DatabaseAway("The database is away")
    keys.refresh()
    assert keys.verify(TEXT) == READER
    assert refusal(keys, text_of("0" * 12, 1)) == "The API key is not known, or was revoked"


def test_keys_of_the_file_are_good_without_the_database(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(key_file.line_of(KEY))
    keys = ring(Table(), str(file))
    keys.refresh(with_table=False)
    assert keys.verify(TEXT) == READER


def test_a_file_is_read_again_and_its_last_good_content_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, alarms = tmp_path / "keys", Alarms()
    file.write_text(key_file.line_of(KEY))
    keys = ring(Table(), str(file), alarms)
    keys.refresh()
    for bad in (f"{key_file.line_of(KEY)}\n{TEXT}", None):
        if bad is None:
            file.unlink()
        else:
            file.write_text(bad)
        keys.refresh()
        assert keys.verify(TEXT) == READER
        assert [alarm.name for alarm in alarms.open()] == [FILE_ALARM]
    assert "line 2 must have" in caplog.text
    assert TEXT not in caplog.text
    file.write_text("# nobody")
    keys.refresh()
    assert refusal(keys) == "The API key is not known, or was revoked"
    assert alarms.open() == []


def test_a_use_is_stored_once_an_hour_and_not_by_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(KEY)
    keys = ring(table)
    keys.refresh()
    keys.note_use()
    assert table.noted == []
    for _ in range(3):
        keys.verify(TEXT)
        keys.note_use()
    assert table.noted == [[ID]]
    later = time.time() + 3600
    monkeypatch.setattr("app.services.api_keys.time.time", lambda: later)
    keys.verify(TEXT)
    keys.note_use()
    assert table.noted == [[ID]] * 2


def test_a_use_that_could_not_be_stored_is_stored_later(caplog: pytest.LogCaptureFixture) -> None:
    table = Table(KEY)
    keys = ring(table)
    keys.refresh()
    keys.verify(TEXT)
    table.trouble = DatabaseReadOnly("The database takes no changes now")
    with caplog.at_level(logging.INFO, logger="app.services.api_keys"):
        keys.note_use()
    assert "the use of API keys is not stored" in caplog.text
    table.trouble = None
    keys.note_use()
    assert table.noted == [[ID]]


def test_the_thread_looks_until_it_is_stopped() -> None:
    table, stop, beats = Table(KEY), threading.Event(), threading.Semaphore(0)
    keys = ring(table)
    thread = threading.Thread(target=keys.run, args=(stop, beats.release, lambda: True))
    thread.start()
    try:
        assert beats.acquire(timeout=30)
        assert beats.acquire(timeout=30)
        assert keys.verify(TEXT) == READER
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def test_a_key_shows_nothing_of_itself() -> None:
    assert TEXT not in repr(KEY)
