"""Lines of context: written once, bounded, and missing without harm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from causeway.contracts.chat import ChatReply, ChatRequest
from causeway.contracts.model_gateway import Call
from causeway.errors import ModelUnavailableError
from causeway.knowledge.collections import Collections
from causeway.knowledge.document import DocumentState
from causeway.knowledge.ingest import chunk_context
from causeway.knowledge.originals import Originals
from causeway.storage.database import Database
from tests.knowledge.ingest.worksite import Models, Worksite

SECTIONS = "# Plan\n\n" + "\n\n".join(
    f"## Part {name}\n\n{f'word{name} ' * 30}" for name in ("one", "two", "three", "four", "five", "six")
)


@pytest.fixture
async def site(
    database: Database, collections: Collections, originals: Originals, tmp_path: Path
) -> AsyncIterator[Worksite]:
    made = Worksite(database, collections, originals, tmp_path)
    await made.open()
    await made.options({"chunking": {"strategy": "contextual"}})
    yield made
    await made.close()


def written(models: Models) -> int:
    return sum(isinstance(request, ChatRequest) for request in models.requests)


async def test_a_chunk_is_found_by_its_context_and_shows_only_its_own_text(site: Worksite) -> None:
    document = await site.ingest(await site.add(SECTIONS))
    assert (document.state, document.notice) == (DocumentState.READY, None)
    chunks = await site.index.chunks_of(document.id)
    assert len(chunks) == written(site.models) == 6
    assert {chunk.tokens for chunk in chunks} <= set(range(97))
    (hit, *_) = (await site.search("placed")).hits  # a word of the lines alone
    assert hit.scores.bm25 is not None
    assert "Placed" not in f"{hit.heading}{hit.text}"


async def test_what_was_written_once_is_not_asked_for_again(site: Worksite) -> None:
    added = await site.add(SECTIONS)
    await site.ingest(added)
    await site.library.retry(added.document_id)
    await site.ingest_newest(added.document_id)
    assert written(site.models) == 6


async def test_a_model_that_fails_leaves_chunks_without_context_and_the_reason_is_told(
    site: Worksite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(request: ChatRequest, call: Call) -> ChatReply:
        site.models.requests.append(request)
        msg = "the model 'fast' is not on this machine"
        raise ModelUnavailableError(msg)

    monkeypatch.setattr(site.models, "complete", fail)
    document = await site.ingest(await site.add(SECTIONS))
    assert (document.state, document.chunks) == (DocumentState.READY, 6)
    assert document.notice == (
        "6 of 6 passages have no line of context: the model 'fast' is not on this machine"
    )
    assert written(site.models) <= 4  # three in a row end it; one more may have been under way


async def test_a_long_document_gets_only_so_many_lines(
    site: Worksite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_context, "MOST_LINES", 2)
    document = await site.ingest(await site.add(SECTIONS))
    assert document.notice == "4 of 6 passages have no line of context: a document gets at most 2"
    assert written(site.models) == 2
