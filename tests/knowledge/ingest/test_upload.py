from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from zipfile import ZipFile

import pytest

from causeway.contracts.identity import SYSTEM
from causeway.errors import BusyError, InvalidInputError, TooLargeError
from causeway.knowledge.incoming import Added
from causeway.knowledge.ingest.upload import Uploads, clean_name
from causeway.knowledge.library import Library
from causeway.knowledge.originals import Originals
from causeway.storage.blobs import Blobs
from causeway.testing.clock import FrozenClock


@pytest.fixture
def uploads(library: Library, originals: Originals, clock: FrozenClock) -> Uploads:
    return Uploads(library=library, originals=originals, clock=clock, max_bytes=1000)


async def receive(
    uploads: Uploads,
    *pieces: bytes,
    name: str,
    collection: str | None = None,
    metadata: dict[str, object] | None = None,
    key: str = "",
) -> Added:
    async with uploads.arriving(name) as arrival:
        for piece in pieces:
            await arrival.write(piece)
        return await arrival.add(by=SYSTEM, collection=collection, metadata=metadata, key=key)


def stored(folder: Path) -> list[Path]:
    return [each for each in (folder / "blobs").rglob("*") if each.is_file()]


async def test_what_arrives_in_pieces_is_kept_whole_and_once(
    uploads: Uploads, library: Library, blobs: Blobs, clock: FrozenClock, tmp_path: Path
) -> None:
    added = await receive(
        uploads, b"hel", b"", b"lo", name="notes.md", collection="team", metadata={"tags": ["a", "b"]}
    )
    document = await library.document(added.document_id)
    assert (document.collection, document.source, document.path) == ("team", "upload", "notes.md")
    assert (document.modified_at, document.metadata) == (clock.now(), {"tags": ["a", "b"]})
    assert (document.size_bytes, blobs.path(document.blob).read_bytes()) == (5, b"hello")
    assert stored(tmp_path) == [blobs.path(document.blob)]


async def test_the_same_name_again_is_a_new_revision_of_the_same_document(uploads: Uploads) -> None:
    first = await receive(uploads, b"old", name="notes.md")
    second = await receive(uploads, b"new", name="C:\\Users\\ada\\notes.md")
    assert (second.document_id, second.change, second.revision) == (first.document_id, "changed", 2)


async def test_too_large_a_file_is_refused_and_nothing_of_it_kept(
    uploads: Uploads, library: Library, tmp_path: Path
) -> None:
    with pytest.raises(TooLargeError, match=r"'big\.md' is larger than the 1,000 bytes"):
        await receive(uploads, b"x" * 600, b"x" * 600, name="big.md")
    assert (await library.documents()).total == 0
    assert stored(tmp_path) == []


async def test_an_upload_that_breaks_off_leaves_nothing(
    uploads: Uploads, library: Library, tmp_path: Path
) -> None:
    async def break_off() -> None:
        async with uploads.arriving("a.md") as arrival:
            await arrival.write(b"half")
            assert len(stored(tmp_path)) == 1
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    with pytest.raises(ConnectionResetError):
        await break_off()
    assert (await library.documents()).total == 0
    assert stored(tmp_path) == []


async def test_another_process_that_starts_leaves_what_is_arriving_alone(
    uploads: Uploads, blobs: Blobs, library: Library, tmp_path: Path
) -> None:
    async with uploads.arriving("a.md") as arrival:
        await arrival.write(b"hel")
        Blobs(tmp_path / "blobs")
        await arrival.write(b"lo")
        added = await arrival.add(by=SYSTEM)
    assert blobs.path((await library.document(added.document_id)).blob).read_bytes() == b"hello"


async def test_a_file_whose_bytes_are_deleted_at_that_moment_is_asked_for_again(
    uploads: Uploads, blobs: Blobs, library: Library
) -> None:
    async with uploads.arriving("a.md") as arrival:
        await arrival.write(b"hello")
        added = await arrival.add(by=SYSTEM)
        await blobs.delete((await library.document(added.document_id)).blob)
        with pytest.raises(BusyError, match="send the file again"):
            await arrival.add(by=SYSTEM)


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": None},
        {"a": {"b": 1}},
        {"": "x"},
        {"a": [[1]]},
        {"a": float("nan")},
        {"a": "x" * 20_000},
        {"a": "\x00"},
    ],
)
async def test_metadata_that_cannot_be_filtered_by_is_refused(
    uploads: Uploads, metadata: dict[str, object]
) -> None:
    with pytest.raises(InvalidInputError, match="metadata"):
        await receive(uploads, b"x", name="a.md", metadata=metadata)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\Q3 report.docx", "Q3 report.docx"),
        ("/srv/x/..\\..\\a.md", "a.md"),
        ("a\x00b\n\tc.md", "abc.md"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        (".htaccess", "htaccess"),
        ("  spaced   out .md ", "spaced out .md"),
        ("re\u0301sume\u0301.md", "r\u00e9sum\u00e9.md"),
        ("\udcff.md", "md"),
        ("日本語.txt", "日本語.txt"),
    ],
)
def test_a_name_is_cut_to_what_can_be_seen_and_leads_nowhere(sent: str, kept: str) -> None:
    assert clean_name(sent) == kept


@pytest.mark.parametrize("name", ["", "   ", "..", "a/", "\x00", "\u200b", "./.."])
def test_a_name_of_which_nothing_is_left_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="no file name"):
        clean_name(name)


def test_long_names_are_shortened_and_kept_apart() -> None:
    first, second = (clean_name("é" * 300 + end + ".docx") for end in "ab")
    assert first != second
    assert clean_name("é" * 300 + "a.docx") == first
    for name in (first, second, clean_name("a." + "b" * 300)):
        assert len(name.encode()) <= 200
    assert first.endswith(".docx")


def zipped(**files: str) -> bytes:
    content = io.BytesIO()
    with ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.md", text)
    return content.getvalue()


async def test_a_zip_sent_again_under_its_key_is_the_same_upload(uploads: Uploads, library: Library) -> None:
    packed = zipped(tents="# Tents", bags="# Bags")
    first = await receive(uploads, packed, name="shop.zip", key="key_1:abc")
    before = {each.path: each.revision for each in (await library.documents()).documents}
    again = await receive(uploads, packed[:60], packed[60:], name="shop.zip", key="key_1:abc")
    assert (again.document_id, again.change, again.revision) == (
        first.document_id,
        "unchanged",
        first.revision,
    )
    assert {each.path: each.revision for each in (await library.documents()).documents} == before
    assert {"shop.zip/tents.md", "shop.zip/bags.md"} <= set(before)
    with pytest.raises(InvalidInputError, match="of other bytes"):
        await receive(uploads, zipped(tents="# Other"), name="shop.zip", key="key_1:abc")
