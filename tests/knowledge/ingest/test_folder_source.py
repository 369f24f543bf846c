from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from causeway.knowledge.ingest.connector import Before
from causeway.knowledge.ingest.folder_source import FolderSource
from causeway.knowledge.ingest.source_kinds import open_source
from causeway.settings import SourceSettings
from causeway.testing.clock import FrozenClock
from causeway.testing.connector_contract import CHECKS, Check, Source

LONG_AGO = 1_700_000_000


@pytest.fixture
def source(tmp_path: Path, clock: FrozenClock) -> Source:
    root, kept = tmp_path / "docs", tmp_path / "kept"
    root.mkdir()
    kept.mkdir()
    written = 0

    async def write(name: str, words: str) -> None:
        nonlocal written
        written += 1
        (root / f"{name}.md").write_text(words)
        os.utime(root / f"{name}.md", (LONG_AGO + written, LONG_AGO + written))

    async def remove(name: str) -> None:
        (root / f"{name}.md").unlink()

    async def cut() -> None:
        shutil.rmtree(root)

    settings = SourceSettings.model_validate({"kind": "folder", "path": root})
    return Source(
        open=lambda: open_source("docs", settings, clock=clock),
        write=write,
        remove=remove,
        rename=None,
        cut=cut,
        folder=kept,
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_folders_keep_the_contract(check: Check, source: Source) -> None:
    await check(source)


async def test_a_folder_is_named_by_where_it_really_is(tmp_path: Path, clock: FrozenClock) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    linked = SourceSettings.model_validate({"kind": "folder", "path": tmp_path / "link"})
    async with open_source("docs", linked, clock=clock) as connector:
        assert connector.source == f"folder:{tmp_path / 'real'}"


async def test_what_moves_while_it_is_looked_at_is_seen_once(
    tmp_path: Path, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "docs"
    for place in ("a", "b"):
        (root / place).mkdir(parents=True)
    (root / "b" / "note.md").write_text("words")
    really, looked = os.scandir, list[str]()

    def scandir(place: Path) -> object:
        """When the second folder's turn comes, the note moves to the other: it would be seen nowhere, or twice."""
        if place != root:
            looked.append(place.name)
            if len(looked) == 2:
                here, there = (root / name / "note.md" for name in looked)
                here.rename(there) if here.exists() else there.rename(here)
        return really(place)

    monkeypatch.setattr("causeway.knowledge.ingest.folder_scan.os.scandir", scandir)
    connector = FolderSource(root, clock=clock, settle_s=0.0)
    before = Before(
        path="b/note.md",
        revision="",
        identity="",
        modified_at=clock.now(),
        find=lambda: None,
    )
    listing = await connector.listing({"b/note.md": before}, since=None)
    is_in_a = (root / "a" / "note.md").exists()
    assert [item.path for item in listing.items] == ["a/note.md" if is_in_a else "b/note.md"]
