from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import ParsedDocument
from causeway.knowledge.ingest import archive
from causeway.knowledge.ingest.parser import parse_bytes
from causeway.knowledge.ingest.reading import Reading

MakeZip = Callable[..., bytes]


def _parse(content: bytes, name: str = "a.zip") -> ParsedDocument:
    return parse_bytes(content, name=name, reading=Reading())


def test_an_archive_is_a_folder_whose_files_are_sections(make_zip: MakeZip, make_pdf: Any, draw: Any) -> None:
    content = make_zip(
        {
            "handbook/leave.md": "# Leave\n\n25 days.\n",
            "handbook/plan.pdf": make_pdf([draw.lines(["The plan for the autumn."])]),
            "prices.csv": "Name,Price\nTent,415\n",
        }
    )
    parsed = _parse(content)
    assert parsed.media_type == "application/zip"
    assert parsed.metadata == {"files": "3"}
    assert [(block.kind, block.level, block.text) for block in parsed.blocks] == [
        ("heading", 1, "handbook/leave.md"),
        ("heading", 2, "Leave"),
        ("paragraph", 0, "25 days."),
        ("heading", 1, "handbook/plan.pdf"),
        ("paragraph", 0, "The plan for the autumn."),
        ("heading", 1, "prices.csv"),
        ("table", 0, "| Name | Price |\n| --- | --- |\n| Tent | 415 |"),
    ]
    assert {block.page for block in parsed.blocks} == {None}


def test_what_cannot_be_read_is_named_and_the_rest_is_read(make_zip: MakeZip) -> None:
    parsed = _parse(make_zip({"a.txt": "Words.", "tool.exe": b"MZ\x90\0" + b"\0" * 60, "empty.txt": ""}))
    assert parsed.metadata["files"] == "1"
    assert parsed.metadata["skipped"] == (
        "tool.exe: the file is a program, not a document; empty.txt: the file is empty"
    )


def test_systems_own_files_are_left_out(make_zip: MakeZip) -> None:
    parsed = _parse(
        make_zip({"a.txt": "Words.", "__MACOSX/._a.txt": b"\0\5\x16\7", ".DS_Store": b"\0\0\0\1Bud1"})
    )
    assert parsed.metadata == {"files": "1"}


@pytest.mark.parametrize(
    "name", ["../up.md", "a/../../up.md", "/etc/passwd.md", "C:\\secrets.md", "..\\up.md"]
)
def test_names_that_lead_out_of_the_archive_are_left_out(make_zip: MakeZip, name: str) -> None:
    parsed = _parse(make_zip({"fine.md": "# Fine\n", name: "# Not fine\n"}))
    assert "Not fine" not in " ".join(block.text for block in parsed.blocks)
    assert "leads out of the archive" in parsed.metadata["skipped"]


@given(st.text(alphabet="./\\ab:", max_size=20))
def test_no_path_leaves_the_archive(name: str) -> None:
    path = archive.safe_path(name)
    assert not path.startswith(("/", "\\"))
    assert ".." not in path.replace("\\", "/").split("/")


def test_a_bomb_is_refused_after_a_little_of_it(make_zip: MakeZip) -> None:
    with pytest.raises(UnreadableDocumentError, match="more than 250 times its size; it is made to do harm"):
        _parse(make_zip({"zeros.txt": b"\0" * 60_000_000}))


def test_many_large_members_are_refused_together(make_zip: MakeZip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 100_000)
    with pytest.raises(
        UnreadableDocumentError, match="unpacks to more than 0 MB; unpack it and add the folder"
    ):
        _parse(make_zip({f"{n}.txt": "Some words of text.\n" * 2000 for n in range(4)}))


def test_too_many_files_are_refused_unopened(make_zip: MakeZip) -> None:
    with pytest.raises(UnreadableDocumentError, match="5,001 files and the limit is 5,000"):
        _parse(make_zip({f"{n}.txt": "x" for n in range(5001)}))


def test_an_archive_in_an_archive_is_opened_and_no_further(make_zip: MakeZip) -> None:
    inner = make_zip({"c.txt": "Deep words."})
    middle = make_zip({"b.zip": inner, "b.txt": "Middle words."})
    parsed = _parse(make_zip({"a.zip": middle}))
    text = " ".join(block.text for block in parsed.blocks)
    assert "Middle words." in text
    assert "Deep words." not in text


def test_members_under_a_password_are_named() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        target.writestr("secret.txt", "hidden")
    content = bytearray(packed.getvalue())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    with pytest.raises(UnreadableDocumentError, match=r"secret\.txt: it is protected by a password|password"):
        _parse(bytes(content))


def test_a_cut_archive_is_said_to_be_damaged(make_zip: MakeZip) -> None:
    content = make_zip({"a.txt": "Words. " * 500})
    with pytest.raises(UnreadableDocumentError, match="cannot be unpacked"):
        _parse(content[:-40])
