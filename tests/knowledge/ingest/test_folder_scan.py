from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from causeway.knowledge.ingest.folder_scan import FileState, look_at, scan


def write(root: Path, *paths: str) -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"text of {path}")


def test_finds_files_at_any_depth_by_their_path_with_forward_slashes(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b/c.md", "b/d/e f.txt", "ünï.md")
    assert set(scan(tmp_path).files) == {"a.md", "b/c.md", "b/d/e f.txt", "ünï.md"}


def test_leaves_out_what_nobody_means_to_search(tmp_path: Path) -> None:
    write(
        tmp_path,
        ".git/config",
        ".hidden.md",
        "~$report.docx",
        "report.docx~",
        "film.part",
        "x.TMP",
        "__MACOSX/a.md",
        "node_modules/pkg/README.md",
        "Thumbs.db",
        "kept.md",
    )
    found = scan(tmp_path)
    assert set(found.files) == {"kept.md"}
    assert not found.unreadable


def test_a_hidden_root_is_scanned_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / ".config", "a.md")
    assert set(scan(tmp_path / ".config").files) == {"a.md"}


def test_only_what_is_under_the_given_place_is_found_by_its_path_from_the_root(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b/c.md", "b/d/e.md", "bb/f.md")
    assert set(scan(tmp_path, "b").files) == {"b/c.md", "b/d/e.md"}


def test_links_and_special_files_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "inside/a.md")
    (tmp_path / "inside/loop").symlink_to(tmp_path / "inside", target_is_directory=True)
    (tmp_path / "inside/passwords").symlink_to("/etc/passwd")
    (tmp_path / "inside/nowhere").symlink_to("gone")
    os.mkfifo(tmp_path / "inside/pipe")
    found = scan(tmp_path / "inside")
    assert set(found.files) == {"a.md"}
    assert sorted(found.links) == ["loop", "nowhere", "passwords", "pipe"]


def test_a_name_that_is_not_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("x")
    found = scan(tmp_path)
    assert not found.files
    assert found.unreadable == {"caf?.md": "its name is not valid UTF-8; rename it"}


def test_a_folder_that_is_not_there_is_an_error_and_not_empty(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        scan(tmp_path, "gone")


def test_times_are_cut_to_microseconds_and_to_the_calendar(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("x")
    os.utime(file, ns=(0, 1_700_000_000_123_456_789))
    assert look_at(file) == FileState(1, datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC))
    os.utime(file, (0, -5))
    assert look_at(file).modified_at == datetime(1969, 12, 31, 23, 59, 55, tzinfo=UTC)
    status = list(file.stat())
    status[8] = 10**14
    far = FileState.of(os.stat_result((*status[:10], 0.0, 1e14, 0.0, 0, 10**23, 0)))
    assert far.modified_at.year < 4000


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a file"):
        look_at(tmp_path / "pipe")
