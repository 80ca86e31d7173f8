"""Secrets in files: what is read, what is refused, and every way in which a file changes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.utils.secret_files import LARGEST_SECRET, SecretUnusable, WatchedFiles, read_secret

OLD_NS = 1_600_000_000_000_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A secret that was written long ago."""
    made = tmp_path / "password"
    made.write_bytes(b"old\n")
    os.utime(made, ns=(OLD_NS, OLD_NS))
    return made


@pytest.mark.parametrize(
    ("content", "secret"),
    [(b"s", "s"), (b"s\n", "s"), (b"s\r\n", "s"), (b" s \n", " s "), ("ü\n".encode(), "ü")],
)
def test_one_line_end_is_no_part_of_a_secret(file: Path, content: bytes, secret: str) -> None:
    file.write_bytes(content)
    assert read_secret(file) == secret


@pytest.mark.parametrize("content", [b"", b"\n", b"hush\n\n", b"a\nhush", b"hush\0", b"hush\xff", b"hush" * 20_000])
def test_what_is_no_secret_is_refused_without_showing_it(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(SecretUnusable) as refused:
        read_secret(file)
    assert str(file) in str(refused.value)
    assert "hush" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert len(content) < LARGEST_SECRET or "larger" in str(refused.value)


@pytest.mark.parametrize("name", ["nothing", "", "\0"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SecretUnusable, match="cannot be read"):
        read_secret(f"{tmp_path}/{name}")


def test_a_secret_in_the_place_of_a_path_is_not_shown() -> None:
    with pytest.raises(SecretUnusable) as refused:
        read_secret("hush/hush")
    assert "hush" not in str(refused.value)


def replaced(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(b"new\n")
    os.utime(other, ns=(OLD_NS, OLD_NS))
    other.replace(file)


def written_over(file: Path) -> None:
    file.write_bytes(b"new\n")


def removed(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("change", [replaced, written_over, removed])
def test_another_content_is_a_change_and_stays_one(file: Path, change: Callable[[Path], None]) -> None:
    files = WatchedFiles([file])
    assert not files.changed()
    change(file)
    assert files.changed()
    assert files.changed()


def test_a_file_that_comes_is_a_change(tmp_path: Path) -> None:
    files = WatchedFiles([tmp_path / "password"])
    assert not files.changed()
    (tmp_path / "password").write_text("new")
    assert files.changed()


def test_the_old_content_again_is_no_change(file: Path) -> None:
    files = WatchedFiles([file])
    file.write_bytes(b"new\n")
    assert files.changed()
    file.write_bytes(b"old\n")
    assert not files.changed()


def test_a_second_change_within_one_tick_of_the_clock_is_seen(file: Path) -> None:
    """Of the same size, in the same file, at the same time."""
    file.write_bytes(b"one\n")
    at = file.stat().st_mtime_ns
    files = WatchedFiles([file])
    file.write_bytes(b"two\n")
    os.utime(file, ns=(at, at))
    assert files.changed()


def test_a_folder_swapped_by_its_link_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes changes a mounted secret: file -> ..data/file, ..data -> a folder, and the link is renamed."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "password").write_text(name)
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "password").symlink_to("..data/password")
    files = WatchedFiles([tmp_path / "password"])
    (tmp_path / "..data_tmp").symlink_to("second")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert files.changed()
    assert read_secret(tmp_path / "password") == "second"


def test_nothing_watched_never_changes() -> None:
    assert not WatchedFiles([]).changed()
