from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from causeway.errors import NotFoundError, UnreadableDocumentError
from causeway.knowledge.ingest.connector import Listing
from causeway.knowledge.ingest.notion_export import open_notion_export
from causeway.settings import SourceSettings
from causeway.testing.connector_contract import CHECKS, Check, Source


def packed(files: Mapping[str, bytes | str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def settings(path: Path, **values: object) -> SourceSettings:
    return SourceSettings.model_validate({"kind": "notion", "path": path, **values})


async def listed(path: Path, **values: object) -> Listing:
    async with open_notion_export("wiki", settings(path, **values)) as export:
        return await export.listing({}, since=None)


def page_id(name: str) -> str:
    return f"{sum(map(ord, name)):032x}"


@pytest.fixture
def source(tmp_path: Path) -> Source:
    zipped, folder = tmp_path / "Export.zip", tmp_path / "kept"
    folder.mkdir()
    pages: dict[str, tuple[str, str]] = {}

    def save() -> None:
        files = {
            f"Brain/{title} {page_id(name)}.md": f"# {title}\n\n{words}"
            for name, (title, words) in pages.items()
        }
        zipped.write_bytes(packed(files))

    async def write(name: str, words: str) -> None:
        pages[name] = (name, words)
        save()

    async def remove(name: str) -> None:
        del pages[name]
        save()

    async def rename(name: str, title: str) -> None:
        pages[name] = (title, pages[name][1])
        save()

    async def cut() -> None:
        zipped.unlink()

    return Source(
        open=lambda: open_notion_export("wiki", settings(zipped)),
        write=write,
        remove=remove,
        rename=rename,
        cut=cut,
        folder=folder,
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_notion_exports_keep_the_contract(check: Check, source: Source) -> None:
    await check(source)


async def test_a_real_export_is_its_pages_by_title_and_id(shared_documents: Path) -> None:
    listing = await listed(shared_documents / "notion" / "Export-7d1c.zip")
    assert {item.path: item.identity for item in listing.items} == {
        "Halvorsen Brain.md": "db5b5fab8f4d3e27dda1494c73cf256d",
        "Halvorsen Brain/Policies.md": "73ab48767734d7c1c7fde805ec99108d",
        "Halvorsen Brain/Policies/Travel and Expense Policy.md": "309d6b79965eda32dae445508201e2bd",
        "Halvorsen Brain/Runbooks.md": "79cb9e86830c71c2cdcc69292f45e678",
        "Halvorsen Brain/Runbooks/Order Queue Backlog.md": "2fa91425cb0088539d2c67eda13ffe79",
        "Halvorsen Brain/Runbooks/Untitled.png": "",
        "Halvorsen Brain/Open actions.csv": "244caf9c4dabb4817253edc618187993",
        "Halvorsen Brain/Open actions/Publish trial rules for lines 3 and 5.md": "e3eff9c0cf44dd3f89e7d15f17362f25",
        "Halvorsen Brain/Open actions/Letter on canteen subsidy.md": "986e86cb0ab8ab67a26b7f62b1852f27",
        "Halvorsen Brain/Open actions/Offer for acoustic curtain.md": "73f778aaf6fa5db8656abd72fb710734",
    }
    assert not listing.unseen


async def test_of_a_database_all_rows_are_taken(shared_documents: Path) -> None:
    export = settings(shared_documents / "notion" / "Export-7d1c.zip")
    async with open_notion_export("wiki", export) as opened:
        listing = await opened.listing({}, since=None)
        (table,) = [item for item in listing.items if item.path.endswith(".csv")]
        content = (await opened.fetch(table)).content
    assert isinstance(content, bytes)
    assert len(content.decode("utf-8-sig").strip().splitlines()) == 5
    assert table.metadata["url"] == "https://www.notion.so/244caf9c4dabb4817253edc618187993"


async def test_parts_within_an_export_are_one(tmp_path: Path) -> None:
    one, two = f"A {page_id('a')}.md", f"A {page_id('b')}.html"
    old_style = f"Folder {page_id('f')}/Inner {page_id('i')}.md"
    parts = {
        "Export-Part-1.zip": packed({one: "a", old_style: "i", "index.html": "<ul>"}),
        "Export-Part-2.zip": packed({one: "a", two: "b", "__MACOSX/x.md": "x"}),
    }
    (tmp_path / "e.zip").write_bytes(packed(parts))
    listing = await listed(tmp_path / "e.zip")
    assert {item.path for item in listing.items} == {"A.md", "A.html", "Folder/Inner.md"}
    assert not listing.unseen


async def test_pages_of_one_title_keep_apart(tmp_path: Path) -> None:
    files = {f"Same {'a' * 31}{n}.md": str(n) for n in range(2)} | {f"Same {'b' * 32}.md": "2"}
    (tmp_path / "e.zip").write_bytes(packed(files))
    paths = {item.path for item in (await listed(tmp_path / "e.zip")).items}
    assert paths == {f"Same {'a' * 31}0.md", f"Same {'a' * 31}1.md", f"Same {'b' * 8}.md"}


async def test_a_part_that_cannot_be_opened_takes_nothing_with_it(tmp_path: Path) -> None:
    deep = packed({"2.zip": packed({"3.zip": packed({"4.zip": packed({"a.md": "a"})})})})
    for nested in (b"PK nonsense", b"\0" * 5_000_000, deep):
        (tmp_path / "e.zip").write_bytes(packed({"A.md": "a", "part.zip": nested}))
        listing = await listed(tmp_path / "e.zip")
        assert [item.path for item in listing.items] == ["A.md"]
        assert listing.may_hold("anything")


@pytest.mark.parametrize("name", ["../out.md", "/etc/out.md", "a/../../out.md", "C:/out.md", "..\\out.md"])
async def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "e.zip").write_bytes(packed({"A.md": "a", name: "x"}))
    listing = await listed(tmp_path / "e.zip")
    assert [item.path for item in listing.items] == ["A.md"]
    assert "leads out of the archive" in listing.unseen[""]


async def test_a_bomb_and_a_large_file_are_refused_alone(tmp_path: Path) -> None:
    (tmp_path / "e.zip").write_bytes(
        packed({"bomb.md": b"\0" * 30_000_000, "big.md": bytes(range(256)) * 800, "A.md": "a"})
    )
    async with open_notion_export("wiki", settings(tmp_path / "e.zip", max_file_bytes=100_000)) as export:
        items = {item.path: item for item in (await export.listing({}, since=None)).items}
        with pytest.raises(UnreadableDocumentError, match="bomb"):
            await export.fetch(items["bomb.md"])
        with pytest.raises(UnreadableDocumentError, match="larger than the 100,000"):
            await export.fetch(items["big.md"])
        assert (await export.fetch(items["A.md"])).content == b"a"


async def test_what_is_no_export_is_said(tmp_path: Path) -> None:
    (tmp_path / "e.zip").write_bytes(b"nonsense")
    with pytest.raises(UnreadableDocumentError, match=r"e\.zip"):
        await listed(tmp_path / "e.zip")
    with pytest.raises(NotFoundError, match="no export at"):
        await listed(tmp_path / "missing.zip")
