from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import Embeddings, EmbedRequest
from causeway.errors import ModelUnavailableError, NotFoundError
from causeway.knowledge.document import DocumentState
from causeway.knowledge.incoming import Added, Incoming
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest import worker
from causeway.knowledge.ingest.chunk_strategies import ChunkStrategies
from causeway.knowledge.ingest.personal_data import PersonalData
from causeway.knowledge.ingest.pipeline import EMBEDDED_AT_ONCE, Pipeline
from causeway.knowledge.ingest.preparation import Preparation
from causeway.knowledge.ingest.revisions import Revisions
from causeway.knowledge.ingest.sandbox import FreshSandbox, ParseLimits
from causeway.knowledge.library import Library, work_key
from causeway.knowledge.originals import Originals
from causeway.observability.spans import Spans
from causeway.settings import GuardSettings, KnowledgeSettings
from causeway.storage.blobs import Blobs
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.testing.gateway import FakeGateway, bags_of_words
from causeway.testing.spans import CollectedSpans

DIMENSIONS = 8  # of the collections that the `collections` fixture makes


class Gateway(FakeGateway):
    """Lets a test do something while a document is being embedded, and counts calls."""

    def __init__(self) -> None:
        super().__init__(dimensions=DIMENSIONS)
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.sizes: list[int] = []

    async def embed(self, request: EmbedRequest, call: Call) -> Embeddings:
        assert (call.principal.id, call.purpose) == ("system", "ingest")
        self.sizes.append(len(request.texts))
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return await super().embed(request, call)


@pytest.fixture
def collected() -> CollectedSpans:
    return CollectedSpans()


@pytest.fixture
def spans(collected: CollectedSpans) -> Iterator[Spans]:
    made = Spans(collected)
    yield made
    made.close()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def index(database: Database) -> PostgresIndex:
    made = PostgresIndex(database)
    await made.prepare()
    return made


PipelineOver = Callable[[Blobs], Pipeline]


@pytest.fixture
def pipeline_over(
    database: Database,
    index: PostgresIndex,
    gateway: Gateway,
    spans: Spans,
    knowledge_settings: KnowledgeSettings,
) -> PipelineOver:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()

    def make(blobs: Blobs) -> Pipeline:
        return Pipeline(
            revisions=Revisions(database=database, originals=Originals(database=database, blobs=blobs)),
            index=index,
            preparation=Preparation(
                strategies=ChunkStrategies(tokenizer, default_tokens=64),
                personal_data=PersonalData(GuardSettings()),
            ),
            gateway=gateway,
            spans=spans,
            sandbox=FreshSandbox(ParseLimits.from_settings(knowledge_settings)),
            model="small",
        )

    return make


@pytest.fixture
def pipeline(pipeline_over: PipelineOver, blobs: Blobs) -> Pipeline:
    return pipeline_over(blobs)


Add = Callable[..., Awaitable[Added]]


@pytest.fixture
def add(library: Library, tmp_path: Path) -> Add:
    async def add(content: bytes | str, path: str = "plan.md") -> Added:
        file = tmp_path / "incoming"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        modified_at = datetime(2025, 5, 4, tzinfo=UTC)
        incoming = Incoming(collection=None, source="upload", path=path, file=file, modified_at=modified_at)
        return await library.add(incoming)

    return add


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(50):
        while not await is_so():  # noqa: ASYNC110 - what is waited for is in the database
            await asyncio.sleep(0.05)


def argument(added: Added) -> str:
    return f"{added.document_id}@{added.revision}"


async def texts_of(library: Library, document_id: str) -> str:
    return "\n".join(chunk.text for chunk in await library.text_of(document_id))


MARKDOWN = "# The plan\n\nFirst we rest.\n\n## Later\n\nThen we walk home.\n"
LONG = "# Long\n\n" + "\n\n".join(f"## Part {n}\n\n{'words of this part ' * 14}{n}." for n in range(90))


# --- a good file ---------------------------------------------------------------------------------------


async def test_a_file_becomes_searchable(
    pipeline: Pipeline, library: Library, index: PostgresIndex, add: Add
) -> None:
    added = await add(MARKDOWN)
    await pipeline.ingest(argument(added))
    document = await library.document(added.document_id)
    assert (document.state, document.failure, document.ready_revision) == (DocumentState.READY, None, 1)
    assert (document.title, document.media_type) == ("The plan", "text/markdown")
    assert (document.ready_blob, document.chunks) == (document.blob, len(await library.text_of(document.id)))
    assert "walk home" in await texts_of(library, document.id)
    (best, *_) = await index.lexical("walk", 5)
    assert best.chunk_id in {chunk.id for chunk in await index.chunks_of(document.id)}


async def test_a_repeat_changes_nothing(
    pipeline: Pipeline, library: Library, gateway: Gateway, add: Add
) -> None:
    added = await add(MARKDOWN)
    await pipeline.ingest(argument(added))
    before = await library.document(added.document_id)
    await pipeline.ingest(argument(added))
    assert await library.document(added.document_id) == before
    assert len(gateway.sizes) == 1


@pytest.mark.parametrize("emptied", ["", " \n\n"])
async def test_what_an_emptied_file_said_before_is_not_found_any_more(
    pipeline: Pipeline, library: Library, index: PostgresIndex, blobs: Blobs, add: Add, emptied: str
) -> None:
    before = await add(MARKDOWN)
    await pipeline.ingest(argument(before))
    kept = (await library.document(before.document_id)).blob
    await pipeline.ingest(argument(await add(emptied)))
    document = await library.document(before.document_id)
    assert (document.state, document.chunks) == (DocumentState.FAILED, 0)
    assert document.failure in ("the file is empty", "the file has no text")
    assert not await index.lexical("walk", 5)
    assert blobs.path(kept).is_file()  # for those who cited it
    assert [each.revision for each in await library.revisions(before.document_id)] == [1]


async def test_a_long_document_is_embedded_in_batches_and_keeps_its_order(
    pipeline: Pipeline, library: Library, gateway: Gateway, index: PostgresIndex, add: Add
) -> None:
    added = await add(LONG)
    await pipeline.ingest(argument(added))
    chunks = await index.chunks_of(added.document_id)
    assert len(chunks) == sum(gateway.sizes) > EMBEDDED_AT_ONCE
    assert max(gateway.sizes) <= EMBEDDED_AT_ONCE
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    for chunk in (chunks[0], chunks[EMBEDDED_AT_ONCE], chunks[-1]):
        (vector,) = bags_of_words([chunk.searchable], DIMENSIONS)
        nearest = await index.dense(vector, 1, exact=True)
        assert np.isclose(nearest[0].score, 1.0)


async def test_a_file_without_a_title_is_called_by_its_name(
    pipeline: Pipeline, library: Library, add: Add
) -> None:
    added = await add("just a line of text, no more than that\n", "notes of may.txt")
    await pipeline.ingest(argument(added))
    assert (await library.document(added.document_id)).title == "notes of may"


async def test_what_a_file_says_of_itself_becomes_metadata(
    pipeline: Pipeline, library: Library, add: Add
) -> None:
    added = await add("---\ntitle: Plan B\nauthor: Ada\n---\n\nWe rest.\n")
    await pipeline.ingest(argument(added))
    document = await library.document(added.document_id)
    assert (document.title, document.metadata.get("author")) == ("Plan B", "Ada")


async def test_every_step_is_a_span_of_one_trace(
    pipeline: Pipeline, spans: Spans, collected: CollectedSpans, add: Add
) -> None:
    added = await add(MARKDOWN)
    await pipeline.ingest(argument(added))
    await asyncio.to_thread(spans.flush)
    found = {span.name: span for span in collected.finished}
    assert list(found) == ["parse", "chunk", "embed", "index", "ingest"]
    root = found.pop("ingest")
    assert root.attributes["causeway.document.id"] == added.document_id
    assert {span.parent_id for span in found.values()} == {root.span_id}


# --- edits and deletes in between ----------------------------------------------------------------------


async def test_an_edit_during_the_ingestion_wins(
    pipeline: Pipeline, library: Library, gateway: Gateway, add: Add
) -> None:
    old = await add("# Old\n\nThe old text.\n")
    gateway.meanwhile = lambda: add("# New\n\nThe new text.\n")
    await pipeline.ingest(argument(old))
    document = await library.document(old.document_id)
    assert (document.state, document.revision, document.ready_revision) == (DocumentState.QUEUED, 2, None)
    assert document.chunks == 0
    await pipeline.ingest(f"{old.document_id}@2")
    assert "new text" in await texts_of(library, old.document_id)
    await pipeline.ingest(argument(old))
    assert (await library.document(old.document_id)).ready_revision == 2


async def test_a_delete_during_the_ingestion_leaves_nothing(
    pipeline: Pipeline, library: Library, gateway: Gateway, database: Database, add: Add, blobs: Blobs
) -> None:
    added = await add(MARKDOWN)
    blob = (await library.document(added.document_id)).blob
    gateway.meanwhile = lambda: library.delete(added.document_id)
    await pipeline.ingest(argument(added))
    await pipeline.ingest(argument(added))
    assert (await library.documents()).total == 0
    assert await library.text_of(added.document_id) == ()
    with pytest.raises(NotFoundError):
        blobs.path(blob)


async def test_the_older_bytes_stay_for_those_who_cited_them_and_are_not_searched(
    pipeline: Pipeline, library: Library, index: PostgresIndex, add: Add, blobs: Blobs
) -> None:
    old = await add("# Old\n\nThe ancient text.\n")
    await pipeline.ingest(argument(old))
    old_blob = (await library.document(old.document_id)).blob
    new = await add("# New\n\nThe new text.\n")
    await pipeline.ingest(argument(new))
    assert blobs.path((await library.document(new.document_id)).blob).is_file()
    assert await index.lexical("ancient", 5) == []
    (past,) = await library.past.all(old.document_id)
    assert (past.revision, past.title, past.blob) == (1, "Old", old_blob)
    assert [chunk.text for chunk in await library.past.text_of(old.document_id, 1)] == ["The ancient text."]
    assert blobs.path(old_blob).is_file()
    await library.past.purge(old.document_id)
    with pytest.raises(NotFoundError):
        blobs.path(old_blob)


async def test_an_edit_embeds_only_what_the_document_did_not_say_before(
    pipeline: Pipeline, library: Library, index: PostgresIndex, gateway: Gateway, add: Add
) -> None:
    paragraphs = [f"## Part {n}\n\n{'words of this part ' * 9}{n}." for n in range(60)]
    await pipeline.ingest(argument(await add("# Long\n\n" + "\n\n".join(paragraphs))))
    embedded = sum(gateway.sizes)
    gateway.sizes.clear()

    paragraphs[30] = paragraphs[30].replace("30.", "30, as was agreed in May.")
    await pipeline.ingest(argument(added := await add("# Long\n\n" + "\n\n".join(paragraphs))))
    assert embedded == 60
    assert gateway.sizes == [1]
    gateway.sizes.clear()

    paragraphs.insert(0, "## Foreword\n\n" + "a word before all the others " * 8)
    await pipeline.ingest(argument(await add("# Long\n\n" + "\n\n".join(paragraphs))))
    assert gateway.sizes == [1]
    chunks = await index.chunks_of(added.document_id)
    assert [chunk.ordinal for chunk in chunks] == list(range(61))
    for chunk in chunks:  # each has the vector of its own text, wherever that was embedded
        (vector,) = bags_of_words([chunk.searchable], DIMENSIONS)
        assert (await index.cosines([chunk.id], vector))[chunk.id] == pytest.approx(1.0, abs=1e-6)


async def test_the_same_bytes_read_again_embed_nothing(
    pipeline: Pipeline, library: Library, gateway: Gateway, add: Add
) -> None:
    added = await add(LONG)
    await pipeline.ingest(argument(added))
    gateway.sizes.clear()
    await library.retry(added.document_id)
    await pipeline.ingest(f"{added.document_id}@2")
    assert gateway.sizes == []
    assert (await library.document(added.document_id)).ready_revision == 2


async def test_another_embedding_model_knows_no_vector_of_before(
    pipeline: Pipeline, library: Library, gateway: Gateway, database: Database, add: Add
) -> None:
    added = await add(MARKDOWN)
    await pipeline.ingest(argument(added))
    async with database.begin() as connection:
        await connection.execute(text("UPDATE collections SET embedding_model = 'other'"))
    gateway.sizes.clear()
    await library.retry(added.document_id)
    await pipeline.ingest(f"{added.document_id}@2")
    assert sum(gateway.sizes) == (await library.document(added.document_id)).chunks


# --- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "path", "reason"),
    [
        (b"", "empty.md", "empty"),
        (b"\n \n", "blank.md", "empty|no text"),
        (b"%PDF-1.4\nnot really", "torn.pdf", "PDF"),
        (b"\x7fELF\x02\x01\x01" + bytes(4096), "program.md", "program|kind|type|text"),
    ],
)
async def test_an_unreadable_file_fails_with_a_reason_for_people(
    pipeline: Pipeline, library: Library, add: Add, content: bytes, path: str, reason: str
) -> None:
    added = await add(content, path)
    await pipeline.ingest(argument(added))
    document = await library.document(added.document_id)
    assert (document.state, document.chunks, document.ready_revision) == (DocumentState.FAILED, 0, None)
    assert document.failure is not None
    assert any(word.lower() in document.failure.lower() for word in reason.split("|")), document.failure
    assert not any(odd in document.failure for odd in ("Traceback", "Error(", "/tmp", "0x"))  # noqa: S108 - looked for


async def test_a_bad_edit_leaves_the_last_good_revision_searchable(
    pipeline: Pipeline, library: Library, add: Add, blobs: Blobs
) -> None:
    await pipeline.ingest(argument(good := await add(MARKDOWN)))
    await pipeline.ingest(argument(await add(b"PK\x03\x04 cut short")))
    document = await library.document(good.document_id)
    assert (document.state, document.revision, document.ready_revision) == (DocumentState.FAILED, 2, 1)
    assert "walk home" in await texts_of(library, good.document_id)
    assert blobs.path(document.ready_blob or "").is_file()
    await pipeline.ingest(argument(await add(MARKDOWN + "\nAgain.\n")))
    document = await library.document(good.document_id)
    assert (document.state, document.failure, document.ready_revision) == (DocumentState.READY, None, 3)


async def test_a_full_disk_fails_a_document_with_the_remedy_and_it_works_again_when_there_is_room(
    pipeline_over: PipelineOver, pipeline: Pipeline, library: Library, add: Add, blobs: Blobs, tmp_path: Path
) -> None:
    full = pipeline_over(Blobs(tmp_path / "blobs", reserve_bytes=1 << 60))
    await full.ingest(argument(added := await add(MARKDOWN)))
    document = await library.document(added.document_id)
    assert (document.state, document.ready_revision) == (DocumentState.FAILED, None)
    assert "free some" in (document.failure or "")
    assert await library.text_of(added.document_id) == ()

    await library.retry(added.document_id)
    await pipeline.ingest(f"{added.document_id}@2")
    assert (await library.document(added.document_id)).state == DocumentState.READY


async def test_a_model_that_is_not_ready_is_tried_again(
    pipeline: Pipeline, library: Library, gateway: Gateway, add: Add
) -> None:
    added = await add(MARKDOWN)
    gateway.embed_error = ModelUnavailableError("the embedder is starting")
    with pytest.raises(ModelUnavailableError):
        await pipeline.ingest(argument(added))
    assert (await library.document(added.document_id)).state == DocumentState.PROCESSING
    gateway.embed_error = None
    await pipeline.ingest(argument(added))
    assert (await library.document(added.document_id)).state == DocumentState.READY


async def test_an_error_nobody_foresaw_fails_one_document_and_is_logged(
    pipeline: Pipeline, library: Library, gateway: Gateway, add: Add, caplog: pytest.LogCaptureFixture
) -> None:
    async def burst() -> None:
        raise ZeroDivisionError

    added = await add(MARKDOWN)
    gateway.meanwhile = burst
    with caplog.at_level(logging.ERROR):
        await pipeline.ingest(argument(added))
    document = await library.document(added.document_id)
    assert document.failure == "Causeway failed to ingest it (ZeroDivisionError); its log says more"
    assert any(record.exc_info for record in caplog.records)


async def test_vectors_of_another_length_than_the_collections_are_refused(
    pipeline: Pipeline, library: Library, gateway: Gateway, add: Add
) -> None:
    added = await add(MARKDOWN)
    gateway._dimensions = 16
    await pipeline.ingest(argument(added))
    document = await library.document(added.document_id)
    assert "'default' holds vectors of 8 numbers and 'small' gives 16" in (document.failure or "")


# --- the queue -----------------------------------------------------------------------------------------


async def test_queued_documents_are_worked_through_with_the_bad_ones_named(
    pipeline: Pipeline, library: Library, durable: Durable, knowledge_settings: KnowledgeSettings, add: Add
) -> None:
    added = [await add(f"# Note {n}\n\nNumber {n}.\n", f"{n}.md") for n in range(6)]
    broken = await add(b"", "broken.md")
    worker.register(durable, pipeline, knowledge_settings)
    await durable.launch()
    ids = [each.document_id for each in (*added, broken)]

    async def is_over() -> bool:
        return (await library.progress(ids)).done == len(ids)

    async def is_told() -> bool:
        return await durable.state(work_key(broken.document_id, 1)) == "done"

    await until(is_over)
    assert list((await library.progress(ids)).failures) == [broken.document_id]
    counts = (await library.documents()).counts
    assert (counts[DocumentState.READY], counts[DocumentState.FAILED]) == (6, 1)
    await until(is_told)


async def test_tending_stops_when_told_to(library: Library, add: Add) -> None:
    await add(MARKDOWN)
    stop = asyncio.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(worker.tend(library, stop=stop, every_s=0.01))
        asyncio.get_running_loop().call_later(0.1, stop.set)
