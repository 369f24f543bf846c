"""From an upload to a citation that still opens: the real library, pipeline, search and web, with vectors made of words."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from causeway.errors import NotFoundError
from causeway.knowledge import Library, Search, Uploads
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest.chunk_strategies import ChunkStrategies
from causeway.knowledge.ingest.personal_data import PersonalData
from causeway.knowledge.ingest.pipeline import Pipeline
from causeway.knowledge.ingest.preparation import Preparation
from causeway.knowledge.ingest.revisions import Revisions
from causeway.knowledge.ingest.sandbox import ParseLimits
from causeway.knowledge.ingest.warm_sandbox import WarmSandbox
from causeway.knowledge.originals import Originals
from causeway.observability.spans import Spans
from causeway.settings import GuardSettings, KnowledgeSettings, ModelSettings
from causeway.storage.blobs import Blobs
from causeway.storage.database import Database
from causeway.testing.clock import FrozenClock
from causeway.testing.gateway import FakeGateway
from causeway.testing.spans import CollectedSpans
from causeway.web.app import build_app
from tests.knowledge.conftest import DIMENSIONS
from tests.web.scripted import ADMIN_KEY, SAMPLES, scripted

OLD = (SAMPLES / "policies" / "travel-policy-2025.pdf").read_bytes()
NEW = (SAMPLES / "policies" / "travel-policy-2026.pdf").read_bytes()


class Site:
    """A web over real knowledge; nothing works in the background, so that a test says when a file is read."""

    def __init__(self, web: httpx2.AsyncClient, pipeline: Pipeline) -> None:
        self.web = web
        self._pipeline = pipeline

    async def upload(self, content: bytes) -> str:
        """Send a PDF as ``policy.pdf`` and have it read; its document's id."""
        sent = await self.web.post("/api/documents", files={"file": ("policy.pdf", content)})
        document_id: str = sent.json()["document_id"]
        revision = (await self.get(f"/api/documents/{document_id}"))["revision"]
        await self._pipeline.ingest(f"{document_id}@{revision}")
        return document_id

    async def get(self, path: str, **asked: str | int) -> Any:
        answer = await self.web.get(path, params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def hits(self, query: str) -> list[dict[str, Any]]:
        answer = await self.web.post("/api/search", json={"query": query, "rerank": False})
        hits: list[dict[str, Any]] = answer.json()["hits"]
        return hits


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans(CollectedSpans())
    yield made
    made.close()


@pytest.fixture
async def site(
    database: Database,
    library: Library,
    originals: Originals,
    blobs: Blobs,
    spans: Spans,
    clock: FrozenClock,
    tmp_path: Path,
) -> AsyncIterator[Site]:
    index, gateway = PostgresIndex(database), FakeGateway(dimensions=DIMENSIONS)
    await index.prepare()
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    sandbox = WarmSandbox(ParseLimits())
    pipeline = Pipeline(
        revisions=Revisions(database=database, originals=originals),
        index=index,
        preparation=Preparation(
            strategies=ChunkStrategies(tokenizer, default_tokens=160),
            personal_data=PersonalData(GuardSettings()),
        ),
        gateway=gateway,
        spans=spans,
        sandbox=sandbox,
        model="small",
    )
    search = Search(index, gateway, KnowledgeSettings(), models=ModelSettings(), spans=spans, clock=clock)
    parts = replace(
        scripted(tmp_path, is_loaded=False).parts,
        library=library,
        uploads=Uploads(library=library, originals=originals, clock=clock, max_bytes=10_000_000),
        blobs=blobs,
        search=search,
    )
    async with (
        sandbox,
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=build_app(parts)),
            base_url="http://causeway.test",
            headers={"authorization": f"Bearer {ADMIN_KEY}"},
        ) as web,
    ):
        yield Site(web, pipeline)


async def test_what_was_found_opens_as_it_was_after_an_edit_and_a_deletion(site: Site) -> None:
    document = await site.upload(OLD)
    hit = next(hit for hit in await site.hits("hotel per night") if "Hotel" in hit["text"])
    assert (hit["document_id"], hit["revision"]) == (document, 1)
    assert hit["bbox"][0]["page"] == hit["page"]
    address = f"/api/documents/{document}"
    quote = next(line for line in hit["text"].split("\n") if "Hotel" in line)
    asked = {"quote": quote, "ordinal": hit["ordinal"], "revision": 1}
    marked = (await site.get(f"{address}/pages/{hit['page']}/words", **asked))["bbox"]
    assert marked
    before = await site.get(f"{address}/chunks")

    assert await site.upload(NEW) == document
    assert all(each["revision"] == 2 for each in await site.hits("hotel per night"))
    assert not any(
        "Version 3. In force from" in each["text"] for each in await site.hits("Version 3 in force")
    )

    async def is_as_it_was() -> bool:
        chunks = await site.get(f"{address}/chunks", revision=1)
        words = await site.get(f"{address}/pages/{hit['page']}/words", **asked)
        file = await site.web.get(f"{address}/file", params={"revision": 1})
        return (
            chunks["chunks"] == before["chunks"]
            and not chunks["is_current"]
            and words["bbox"] == marked
            and file.content == OLD
        )

    assert await is_as_it_was()
    assert (await site.web.delete(address)).status_code == 204
    assert await site.hits("hotel per night") == []
    assert await is_as_it_was()
    assert [each["revision"] for each in (await site.get(f"{address}/revisions"))["revisions"]] == [2, 1]
    purged = await site.web.delete(f"{address}/revisions")
    assert purged.json() == {"purged": 2}
    assert (await site.web.get(f"{address}/chunks", params={"revision": 1})).status_code == 404


async def test_a_deletion_with_its_past_leaves_no_file_behind(site: Site, blobs: Blobs) -> None:
    document = await site.upload(OLD)
    old = hashlib.sha256(OLD).hexdigest()
    await site.upload(NEW)
    assert blobs.path(old).is_file()
    await site.web.delete(f"/api/documents/{document}", params={"purge": True})
    for content in (OLD, NEW):
        with pytest.raises(NotFoundError):
            blobs.path(hashlib.sha256(content).hexdigest())
    assert (await site.get(f"/api/documents/{document}/revisions"))["revisions"] == []
