"""Of a small chunk that is found, an answer gets the section."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.originals import Originals
from causeway.settings import KnowledgeSettings
from causeway.storage.blobs import Blobs
from causeway.storage.database import Database
from tests.knowledge.ingest.worksite import DIMENSIONS, Worksite

SENTENCES = [f"Sentence {n} is about the subject number{n} and some more words around it." for n in range(20)]
PLAN = f"# Plan\n\n## Long\n\n{' '.join(SENTENCES)}\n\n# Short\n\nA line about zebras.\n"


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> AsyncIterator[Worksite]:
    originals = Originals(database=database, blobs=Blobs(tmp_path / "blobs"))
    embedding = EmbeddingModel(name="small", dimensions=DIMENSIONS)
    collections = Collections(database=database, embedding=embedding, settings=KnowledgeSettings())
    made = Worksite(database, collections, originals, tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_the_hits_of_one_section_are_one_hit_with_its_text(site: Worksite) -> None:
    await site.options({"chunking": {"strategy": "parent_child", "child_tokens": 48, "parent_tokens": 512}})
    await site.ingest(await site.add(PLAN))
    small = (await site.search("number7 subject")).hits
    whole = (await site.search("number7 subject", sections=True)).hits
    parts = [hit for hit in small if "Sentence" in hit.text]
    assert len(parts) > 3
    assert max(len(hit.text) for hit in parts) < 400
    (section,) = [hit for hit in whole if "Sentence" in hit.text]
    assert (section.chunk_id, section.score) == (parts[0].chunk_id, parts[0].score)
    assert section.text.split() == " ".join(SENTENCES).split()
    (zebras,) = [hit for hit in whole if "zebras" in hit.text]
    assert zebras.text == next(hit.text for hit in small if "zebras" in hit.text)


async def test_hits_of_other_strategies_stay_as_they_are(site: Worksite) -> None:
    await site.ingest(await site.add(PLAN))
    assert (await site.search("zebras", sections=True)).hits == (await site.search("zebras")).hits


async def test_an_edit_that_moves_chunks_keeps_each_with_its_section(site: Worksite) -> None:
    await site.options({"chunking": {"strategy": "parent_child", "child_tokens": 48, "parent_tokens": 512}})
    await site.ingest(await site.add(PLAN))
    await site.ingest(await site.add(f"# First\n\nSomething before it.\n\n{PLAN}"))
    whole = (await site.search("number7 subject", sections=True)).hits
    (section,) = [hit for hit in whole if "Sentence" in hit.text]
    assert section.text.split() == " ".join(SENTENCES).split()
