"""A collection's policy on personal data, seen where it could leak: search, answers, traces, logs and what is shown."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from causeway.knowledge.collection_options import Pii
from causeway.knowledge.collections import Collections
from causeway.knowledge.document import Block, DocumentState, ParsedDocument
from causeway.knowledge.ingest.personal_data import PersonalData
from causeway.knowledge.originals import Originals
from causeway.settings import GuardSettings
from causeway.storage.database import Database
from tests.knowledge.ingest.worksite import Worksite

EMAIL = "anna.quint@example.org"
CARD = "4111 1111 1111 1111"
SECRETS = (EMAIL, "anna.quint", CARD)
LETTER = f"""---
title: Letter to {EMAIL}
author: {EMAIL}
---

# Contact {EMAIL}

The tent shop writes to {EMAIL} and charges the card {CARD} for two tents.

| Name | Mail |
| --- | --- |
| Anna | {EMAIL} |
"""


@pytest.fixture
async def site(
    database: Database, collections: Collections, originals: Originals, tmp_path: Path
) -> AsyncIterator[Worksite]:
    made = Worksite(database, collections, originals, tmp_path)
    await made.open()
    yield made
    await made.close()


async def everything_stored(database: Database) -> str:
    """Every row of every table that search, answers and pages read, as text."""
    tables = (
        "documents",
        "chunks",
        "chunk_keywords",
        "past_chunks",
        "past_revisions",
        "chunk_contexts",
        "spans",
    )
    async with database.connect() as connection:
        rows = [
            row[0]
            for table in tables
            for row in await connection.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t"))  # noqa: S608
        ]
    return "\n".join(rows)


async def test_masked_values_reach_neither_search_nor_models_nor_traces_nor_logs(
    site: Worksite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await site.options({"pii": {"action": "mask"}, "chunking": {"strategy": "contextual"}})
    document = await site.ingest(await site.add(LETTER))
    assert (document.state, document.title) == (DocumentState.READY, "Letter to [EMAIL]")
    assert document.metadata == {"author": "[EMAIL]"}
    assert document.notice == "masked: 1 card, 5 email"
    shown = await site.texts(document.id)
    assert "writes to [EMAIL] and charges the card [CARD] for two tents" in shown
    assert "| Anna | [EMAIL] |" in shown

    found = await site.search(f"who is {EMAIL}?")
    (hit, *_) = (await site.search("tent shop card")).hits
    assert "[CARD]" in hit.text
    await asyncio.to_thread(site.spans.flush)
    asked = {span.name: json.dumps(dict(span.attributes), default=str) for span in site.collected.finished}
    traces = "\n".join(said for name, said in asked.items() if name != "search")  # what people ask is theirs
    stored = await everything_stored(site.database)
    for secret in SECRETS:
        assert secret not in "\n".join(f"{each.heading}{each.text}{each.title}" for each in found.hits)
        assert secret not in traces
        assert secret not in caplog.text
        assert secret not in stored
    ingested = [request for request in site.models.requests if f"who is {EMAIL}?" not in repr(request)]
    assert not any(secret in repr(ingested) for secret in SECRETS)
    # the original is still there, for those who may manage documents
    assert await site.library.is_original_hidden(document.id)
    assert EMAIL in site.library.originals.path(document.blob).read_text()


async def test_a_refused_document_fails_with_kinds_and_counts_and_nothing_of_it_is_kept(
    site: Worksite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await site.options({"pii": {"action": "refuse", "kinds": ["email", "card"]}})
    document = await site.ingest(await site.add(LETTER))
    assert (document.state, document.chunks, document.ready_revision) == (DocumentState.FAILED, 0, None)
    assert document.failure == "it holds personal data that this collection refuses: 1 card, 5 email"
    await asyncio.to_thread(site.spans.flush)
    traces = "\n".join(repr(dict(span.attributes)) for span in site.collected.finished)
    for secret in SECRETS:
        assert secret not in traces
        assert secret not in caplog.text
        assert secret not in await everything_stored(site.database)
    assert site.models.requests == []


async def test_a_document_without_personal_data_is_let_in_by_a_collection_that_refuses(
    site: Worksite,
) -> None:
    await site.options({"pii": {"action": "refuse"}})
    document = await site.ingest(await site.add("# Tents\n\nTwo tents."))
    assert (document.state, document.notice) == (DocumentState.READY, None)


async def test_only_the_chosen_kinds_count(site: Worksite) -> None:
    await site.options({"pii": {"action": "mask", "kinds": ["card"]}})
    document = await site.ingest(await site.add(LETTER))
    assert EMAIL in await site.texts(document.id)
    assert CARD not in await site.texts(document.id)


@pytest.mark.parametrize("action", ["mask", "refuse"])
async def test_what_was_searchable_before_a_policy_is_gone_after_it_and_so_is_its_past(
    site: Worksite, action: str
) -> None:
    document = await site.ingest(await site.add(LETTER))
    await site.ingest(await site.add(LETTER + "\nAnd a stove.\n"))  # so that there is a past
    assert EMAIL in await everything_stored(site.database)
    await site.options({"pii": {"action": action}})
    await site.control.requeue("")
    after = await site.ingest_newest(document.id)
    assert after.state == (DocumentState.READY if action == "mask" else DocumentState.FAILED)
    assert (after.title, after.metadata) == ("Letter to [EMAIL]", {"author": "[EMAIL]"})
    assert bool(after.chunks) == (action == "mask")
    stored = await everything_stored(site.database)
    assert EMAIL not in stored
    assert CARD not in stored


async def test_a_placeholder_that_is_the_whole_policy_of_one_collection_leaves_others_alone(
    site: Worksite,
) -> None:
    await site.options({"pii": {"action": "mask"}}, collection="people")
    await site.collections.ensure()
    document = await site.ingest(await site.add(LETTER))
    assert EMAIL in await site.texts(document.id)
    assert not await site.library.is_original_hidden(document.id)


def screened(*blocks: str) -> tuple[str, ...]:
    parsed = ParsedDocument(
        title="",
        media_type="text/plain",
        blocks=tuple(Block(kind="paragraph", text=block) for block in blocks),
        page_words={1: b"words"},
    )
    found = PersonalData(GuardSettings()).screen(parsed, title="", metadata={}, pii=Pii(action="mask"))
    assert found.parsed.page_words == {}
    return tuple(block.text for block in found.parsed.blocks)


def test_blocks_keep_their_places_around_what_is_masked() -> None:
    assert screened("before", f"{EMAIL}", f"a {CARD}, b", "after") == (
        "before",
        "[EMAIL]",
        "a [CARD], b",
        "after",
    )
