from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
from sqlalchemy import update

from causeway.contracts.identity import SYSTEM
from causeway.errors import NotFoundError, UnreadableDocumentError
from causeway.knowledge.document import Document
from causeway.knowledge.ingest.spool import Spool
from causeway.knowledge.ingest.upload import Uploads
from causeway.knowledge.ingest.watch_folder import Folders
from causeway.knowledge.ingest.zip_folder import ZipFolder
from causeway.knowledge.library import Library
from causeway.knowledge.originals import Originals
from causeway.settings import KnowledgeSettings
from causeway.storage.blobs import Blobs
from causeway.storage.database import Database
from causeway.storage.schema import documents
from causeway.testing.clock import FrozenClock

MakeZip = Callable[[Mapping[str, bytes | str]], bytes]
PLANS = {
    "plans/a.md": "# A\n\nThe heron stands.",
    "plans/b.md": "# B\n\nThe otter swims.",
    "c.txt": "The lynx waits.",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "beside.md").write_text("beside")
    return folder


@pytest.fixture
def folders(library: Library, clock: FrozenClock, knowledge_settings: KnowledgeSettings) -> Folders:
    return Folders(library=library, clock=clock, settings=knowledge_settings, settle_s=0.0)


async def all_of(library: Library) -> dict[str, Document]:
    return {each.path: each for each in (await library.documents(limit=1000)).documents}


async def test_a_zip_file_is_a_folder_whose_files_are_documents(
    folders: Folders, library: Library, blobs: Blobs, root: Path, make_zip: MakeZip
) -> None:
    (root / "old.zip").write_bytes(make_zip({**PLANS, "__MACOSX/a": "x", ".hidden": "x"}))
    summary = await folders.sync(root)
    found = await all_of(library)
    assert set(found) == {"beside.md", "old.zip", *(f"old.zip/{path}" for path in PLANS)}
    assert (set(summary.new), summary.failed) == (set(found), ())
    assert set(summary.documents.values()) == set(found)
    assert blobs.path(found["old.zip/c.txt"].blob).read_text() == "The lynx waits."
    table = blobs.path(found["old.zip"].blob).read_text()
    assert "- plans/a.md" in table
    assert ".hidden" not in table
    assert found["old.zip"].metadata == {"files": "3"}
    again = await folders.sync(root)
    assert (set(again.unchanged), again.new + again.changed + again.deleted) == (set(found), ())


async def test_only_what_changes_in_an_archive_changes(
    folders: Folders, library: Library, root: Path, make_zip: MakeZip
) -> None:
    (root / "a.zip").write_bytes(make_zip(PLANS))
    await folders.sync(root)
    before = await all_of(library)
    (root / "a.zip").write_bytes(make_zip({"plans/a.md": "edited", "c.txt": PLANS["c.txt"], "new.md": "new"}))
    summary = await folders.sync(root)
    after = await all_of(library)
    assert (summary.new, summary.deleted) == (("a.zip/new.md",), ("a.zip/plans/b.md",))
    assert summary.changed == ("a.zip", "a.zip/plans/a.md")
    assert (after["a.zip/c.txt"].revision, after["a.zip/plans/a.md"].revision) == (1, 2)
    for path in ("a.zip", "a.zip/c.txt", "a.zip/plans/a.md"):
        assert after[path].id == before[path].id


@pytest.mark.parametrize("moves", [("x/a.zip", "x/b.zip"), ("x", "y")])
async def test_a_renamed_archive_and_its_files_keep_their_documents(
    folders: Folders, library: Library, root: Path, make_zip: MakeZip, moves: tuple[str, str]
) -> None:
    (root / "x").mkdir()
    (root / "x" / "a.zip").write_bytes(make_zip(PLANS))
    await folders.sync(root)
    before = await all_of(library)
    (root / moves[0]).rename(root / moves[1])
    summary = await folders.sync(root)
    after = await all_of(library)
    assert (summary.new, summary.deleted) == ((), ())
    assert {path.replace(*moves, 1): each.id for path, each in before.items()} == {
        path: each.id for path, each in after.items()
    }
    again = await folders.sync(root)
    assert again.new + again.changed + again.deleted == ()


async def test_with_an_archive_goes_all_that_was_in_it(
    folders: Folders, library: Library, root: Path, make_zip: MakeZip
) -> None:
    (root / "a.zip").write_bytes(make_zip(PLANS))
    await folders.sync(root)
    (root / "a.zip").unlink()
    assert set((await folders.sync(root)).deleted) == {"a.zip", *(f"a.zip/{path}" for path in PLANS)}
    assert set(await all_of(library)) == {"beside.md"}


async def test_a_file_that_cannot_be_taken_out_fails_alone_with_its_name(
    folders: Folders, library: Library, root: Path, make_zip: MakeZip
) -> None:
    inner = make_zip(
        {"deep.md": "deep", "in.zip": make_zip({"deeper.zip": make_zip({"x.md": "x"}), "y.md": "y"})}
    )
    content = make_zip(
        {"good.md": "good", "../out.md": "out", "/abs.md": "abs", "locked.md": "locked", "n.zip": inner}
    )
    (root / "a.zip").write_bytes(_encrypted(content, b"locked.md"))
    summary = await folders.sync(root)
    found = await all_of(library)
    taken = {"a.zip", "a.zip/good.md", "a.zip/n.zip/deep.md", "a.zip/n.zip/in.zip/y.md"}
    assert set(found) == {"beside.md", *taken}
    failed = dict(summary.failed)
    assert "password" in failed["a.zip/locked.md"]
    assert "leads out" in failed["a.zip/../out.md"]
    assert "leads out" in failed["a.zip//abs.md"]
    assert "other archives" in failed["a.zip/n.zip/in.zip/deeper.zip"]
    assert "locked.md: it is protected by a password" in str(found["a.zip"].metadata["skipped"])


async def test_a_file_of_an_archive_that_failed_is_tried_again_when_asked_for(
    folders: Folders, library: Library, database: Database, root: Path, make_zip: MakeZip
) -> None:
    (root / "a.zip").write_bytes(make_zip(PLANS))
    await folders.sync(root)
    async with database.begin() as connection:
        await connection.execute(update(documents).values(state="ready"))
        failed = update(documents).where(documents.c.path == "a.zip/c.txt").values(state="failed")
        await connection.execute(failed)
    assert (await folders.sync(root, retry_failed=False)).changed == ()
    summary = await folders.sync(root)
    assert (summary.changed, list(summary.documents.values())) == (("a.zip/c.txt",), ["a.zip/c.txt"])


async def test_what_was_in_an_archive_stays_while_it_is_damaged(
    folders: Folders, library: Library, root: Path, make_zip: MakeZip
) -> None:
    whole = make_zip(PLANS)
    (root / "a.zip").write_bytes(whole)
    await folders.sync(root)
    before = await all_of(library)
    (root / "a.zip").write_bytes(whole[:-40])
    assert (await folders.sync(root)).deleted == ()
    assert set(await all_of(library)) == set(before)
    (root / "a.zip").write_bytes(whole)
    assert (await folders.sync(root)).changed == ("a.zip",)
    assert {path: each.id for path, each in (await all_of(library)).items()} == {
        path: each.id for path, each in before.items()
    }


async def test_an_office_file_under_a_wrong_name_is_one_document(
    folders: Folders, library: Library, root: Path, make_zip: MakeZip
) -> None:
    (root / "letter.zip").write_bytes(make_zip({"[Content_Types].xml": "<a/>", "word/document.xml": "<a/>"}))
    await folders.sync(root)
    assert set(await all_of(library)) == {"beside.md", "letter.zip"}


async def test_a_path_longer_than_the_index_holds_fails_alone(
    folders: Folders, library: Library, root: Path, make_zip: MakeZip
) -> None:
    long = "/".join(f"{n:0200d}" for n in range(12))
    (root / "a.zip").write_bytes(make_zip({"good.md": "good", f"{long}.md": "far down"}))
    summary = await folders.sync(root)
    assert [reason for _, reason in summary.failed] == ["its path is longer than 2,000 bytes; shorten it"]
    assert set(await all_of(library)) == {"beside.md", "a.zip", "a.zip/good.md"}


# --- uploads -------------------------------------------------------------------------------------------


@pytest.fixture
def uploads(library: Library, originals: Originals, clock: FrozenClock) -> Uploads:
    return Uploads(library=library, originals=originals, clock=clock, max_bytes=10**6)


async def send(uploads: Uploads, name: str, content: bytes, **metadata: object) -> str:
    async with uploads.arriving(name) as arrival:
        await arrival.write(content)
        added = await arrival.add(by=SYSTEM, metadata=metadata)
    return f"{added.document_id} {added.change}"


async def test_an_uploaded_archive_is_a_folder_too(
    uploads: Uploads, library: Library, clock: FrozenClock, make_zip: MakeZip
) -> None:
    first = await send(uploads, "a.zip", make_zip(PLANS), team="desk")
    found = await all_of(library)
    assert set(found) == {"a.zip", *(f"a.zip/{path}" for path in PLANS)}
    assert first == f"{found['a.zip'].id} new"
    assert found["a.zip/c.txt"].metadata == {"team": "desk"}
    clock.advance(1)
    await send(uploads, "b.zip", make_zip({"x.md": "x"}))
    assert (await send(uploads, "a.zip", make_zip(PLANS))).endswith("unchanged")
    assert (await send(uploads, "a.zip", make_zip({"c.txt": PLANS["c.txt"]}))).endswith("changed")
    after = await all_of(library)
    assert set(after) == {"a.zip", "a.zip/c.txt", "b.zip", "b.zip/x.md"}
    assert after["a.zip/c.txt"].id == found["a.zip/c.txt"].id
    await library.delete(after["a.zip"].id)
    assert set(await all_of(library)) == {"b.zip", "b.zip/x.md"}


async def test_nothing_of_a_deleted_archive_is_left_in_the_store(
    uploads: Uploads, library: Library, blobs: Blobs, make_zip: MakeZip
) -> None:
    await send(uploads, "a.zip", make_zip(PLANS))
    kept = [each.blob for each in (await all_of(library)).values()]
    await library.delete((await all_of(library))["a.zip"].id)
    for blob in kept:
        with pytest.raises(NotFoundError):
            blobs.path(blob)


# --- archives made to do harm --------------------------------------------------------------------------


@pytest.fixture
async def spool() -> AsyncIterator[Spool]:
    with Spool() as made:
        yield made


def test_a_bomb_is_refused_before_anything_is_unpacked(tmp_path: Path, spool: Spool) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("zeros.txt", b"\0" * 30_000_000)
    (tmp_path / "a.zip").write_bytes(packed.getvalue())
    with pytest.raises(UnreadableDocumentError, match="made to do harm"):
        ZipFolder.open(tmp_path / "a.zip", spool)


def test_an_archive_of_too_many_files_is_refused(tmp_path: Path, spool: Spool, make_zip: MakeZip) -> None:
    (tmp_path / "a.zip").write_bytes(make_zip({f"{n}.txt": "" for n in range(5001)}))
    with pytest.raises(UnreadableDocumentError, match="more than 5,000 files"):
        ZipFolder.open(tmp_path / "a.zip", spool)


def test_a_directory_that_would_fill_the_memory_is_not_read(tmp_path: Path, spool: Spool) -> None:
    size = 60_000_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, size, 0, 0)
    with (tmp_path / "a.zip").open("wb") as out:
        out.truncate(size)
        out.seek(size)
        out.write(end)
    with pytest.raises(UnreadableDocumentError, match="far more than 5,000 files"):
        ZipFolder.open(tmp_path / "a.zip", spool)


def test_an_archive_in_itself_ends(tmp_path: Path, spool: Spool, make_zip: MakeZip) -> None:
    content = make_zip({"x.md": "x"})
    for _ in range(30):
        content = make_zip({"in.zip": content})
    (tmp_path / "a.zip").write_bytes(content)
    with ZipFolder.open(tmp_path / "a.zip", spool) as folder:
        assert folder.members == {}
        assert list(folder.skipped) == ["in.zip/in.zip/in.zip"]


def test_it_is_closed_when_the_block_ends(tmp_path: Path, spool: Spool, make_zip: MakeZip) -> None:
    (tmp_path / "a.zip").write_bytes(make_zip({"x.md": "x", "in.zip": make_zip({"y.md": "y"})}))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ZipFolder.open(tmp_path / "a.zip", spool) as folder:
        assert b"".join(folder.members["in.zip/y.md"].pieces()) == b"y"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def _encrypted(content: bytes, name: bytes) -> bytes:
    """The archive, with one file marked as under a password."""
    marked = bytearray(content)
    for signature, flags, names in ((b"PK\x03\x04", 6, 30), (b"PK\x01\x02", 8, 46)):
        at = -1
        while (at := marked.find(signature, at + 1)) >= 0:
            if marked[at + names : at + names + len(name)] == name:
                marked[at + flags] |= 1
    return bytes(marked)
