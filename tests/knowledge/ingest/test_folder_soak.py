"""A tree is worked on at random and synced now and then: whenever it stands still, index and tree are equal."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from causeway.knowledge.ingest.watch_folder import Folders
from causeway.knowledge.library import Library
from causeway.settings import KnowledgeSettings
from causeway.storage.blobs import Blobs
from causeway.testing.clock import FrozenClock

OPERATIONS = 500
BETWEEN_SYNCS = 12
LONG_AGO = 1_700_000_000


class Tree:
    """A folder that people work in."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self._rng = random.Random(seed)
        self._tick = LONG_AGO
        self.done = Counter[str]()

    def files(self) -> list[Path]:
        return sorted(file for file in self.root.rglob("*") if file.is_file())

    def folders(self) -> list[Path]:
        return sorted(folder for folder in self.root.rglob("*") if folder.is_dir())

    def work(self) -> None:
        """Do something."""
        files = self.files()
        does = self._rng.choice(
            ["write", "write", "edit", "touch", "rename", "swap", "delete", "move", "copy", "prune"]
        )
        if does == "write" or len(files) < 3:
            does = "write"
            self._save(self._place(), f"text {self._rng.randrange(12)}")
        elif does == "edit":
            self._save(self._rng.choice(files), f"edited {self._rng.randrange(10**6)}")
        elif does == "touch":
            self._date(self._rng.choice(files))
        elif does in ("rename", "copy"):
            target = self._place()
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copy2 if does == "copy" else shutil.move)(self._rng.choice(files), target)
        elif does == "swap":
            one, other = self._rng.sample(files, 2)
            aside = one.with_name("aside.tmp")
            one.rename(aside)
            other.rename(one)
            aside.rename(other)
        elif does == "delete":
            self._rng.choice(files).unlink()
        elif folders := self.folders():
            folder = self._rng.choice(folders)
            if does == "prune" and len(files) > 15:
                shutil.rmtree(folder)
            else:
                target = self.root / f"moved {self._rng.randrange(10**6)}"
                folder.rename(target)
        self.done[does] += 1

    def _place(self) -> Path:
        parts = [f"d{self._rng.randrange(4)}" for _ in range(self._rng.randrange(3))]
        return self.root.joinpath(*parts, f"n{self._rng.randrange(40)}.md")

    def _save(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self._date(file)

    def _date(self, file: Path) -> None:
        self._tick += 1
        os.utime(file, (self._tick, self._tick))

    def contents(self) -> dict[str, str]:
        return {
            file.relative_to(self.root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in self.files()
        }


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_happens_in_a_folder_index_and_folder_are_equal(
    library: Library,
    clock: FrozenClock,
    knowledge_settings: KnowledgeSettings,
    blobs: Blobs,
    tmp_path: Path,
    seed: int,
) -> None:
    tree = Tree(tmp_path / "docs", seed)
    tree.root.mkdir()
    folders = Folders(library=library, clock=clock, settings=knowledge_settings, settle_s=0.0)
    for operation in range(OPERATIONS):
        tree.work()
        if operation % BETWEEN_SYNCS == 0:
            summary = await folders.sync(tree.root)
            known = await library.known(None, f"folder:{tree.root}")
            assert {path: each.blob for path, each in known.items()} == tree.contents(), tree.done
            assert summary.failed == ()
            for each in known.values():
                assert blobs.path(each.blob).is_file()
    await folders.sync(tree.root)
    again = await folders.sync(tree.root)
    assert again.new + again.changed + again.deleted == ()
    assert len(again.unchanged) == len(tree.contents())
    assert len(tree.done) >= 8, "all kinds of work were done"
