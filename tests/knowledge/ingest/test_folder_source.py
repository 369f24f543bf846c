from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

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
        assert isinstance(connector, FolderSource)
        assert connector.source == f"folder:{tmp_path / 'real'}"
