"""Everything that ingests, over one database: files are read in this process, and models are fakes that count."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from causeway.contracts.chat import ChatReply, ChatRequest
from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import Embeddings, EmbedRequest
from causeway.knowledge.collections import Collections
from causeway.knowledge.document import Document, ParsedDocument
from causeway.knowledge.incoming import Added, Incoming
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest import worker
from causeway.knowledge.ingest.bounded_sandbox import BoundedSandbox
from causeway.knowledge.ingest.chunk_context import ContextWriter
from causeway.knowledge.ingest.chunk_strategies import ChunkStrategies
from causeway.knowledge.ingest.control import IngestControl
from causeway.knowledge.ingest.parser import parse_bytes
from causeway.knowledge.ingest.personal_data import PersonalData
from causeway.knowledge.ingest.pipeline import Pipeline
from causeway.knowledge.ingest.preparation import Preparation
from causeway.knowledge.ingest.reading import Reading
from causeway.knowledge.ingest.revisions import Revisions
from causeway.knowledge.library import Library
from causeway.knowledge.originals import Originals
from causeway.knowledge.search.request import SearchRequest, SearchResult
from causeway.knowledge.search.search import Search
from causeway.knowledge.search.sections import SectionSearch
from causeway.observability.spans import Spans
from causeway.prompts.shelf import Shelf
from causeway.settings import GuardSettings, KnowledgeSettings, ModelSettings
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.testing.gateway import FakeGateway
from causeway.testing.spans import CollectedSpans

DIMENSIONS = 8


@dataclass
class Gauge:
    """How many are inside, and the most that ever were; a gate can hold them there."""

    inside: int = 0
    most: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    passes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def let_through(self, count: int) -> None:
        """Let so many go on though the gate is closed."""
        for _ in range(count):
            self.passes.release()

    async def pass_through(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        try:
            async with asyncio.TaskGroup() as group:
                ways = [group.create_task(self.gate.wait()), group.create_task(self.passes.acquire())]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            self.inside -= 1


class Models(FakeGateway):
    """Counts what is embedded at once, and what it is shown."""

    def __init__(self) -> None:
        super().__init__(dimensions=DIMENSIONS, replies=("Placed by a model.",))
        self.embedding = Gauge()
        self.embedding.gate.set()

    async def embed(self, request: EmbedRequest, call: Call) -> Embeddings:
        if call.purpose == "ingest":
            await self.embedding.pass_through()
        return await super().embed(request, call)

    async def complete(self, request: ChatRequest, call: Call) -> ChatReply:
        assert call.purpose == "ingest"
        return await super().complete(request, call)

    @property
    def shown(self) -> str:
        return "\n".join(repr(request) for request in self.requests)


class Readers:
    """A sandbox in this process that counts."""

    def __init__(self) -> None:
        self.reading = Gauge()
        self.reading.gate.set()
        self.read: list[str] = []

    async def parse(self, path: Path, *, name: str) -> ParsedDocument:
        self.read.append(name)
        await self.reading.pass_through()
        content = await asyncio.to_thread(path.read_bytes)
        return parse_bytes(content, name=name, reading=Reading(max_pages=10))


class Worksite:
    """A library, its control and a worker that the test starts when it wants."""

    def __init__(
        self, database: Database, collections: Collections, originals: Originals, folder: Path
    ) -> None:
        self.database = database
        self.collections = collections
        self.folder = folder
        self.models = Models()
        self.readers = Readers()
        self.collected = CollectedSpans()
        self.spans = Spans(self.collected)
        self.durable = Durable(database.url, executor_id="exe_site", retry_after_s=(0.0, 0.0), grace_s=0.2)
        self.library = Library(
            database=database, collections=collections, originals=originals, durable=self.durable
        )
        self.index = PostgresIndex(database)
        self.control = IngestControl(database=database, durable=self.durable)
        tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = Whitespace()
        contexts = ContextWriter(
            database=database, gateway=self.models, prompts=Shelf.packaged(), model="fast"
        )
        self.pipeline = Pipeline(
            revisions=Revisions(database=database, originals=originals),
            index=self.index,
            preparation=Preparation(
                strategies=ChunkStrategies(tokenizer, default_tokens=96, contexts=contexts),
                personal_data=PersonalData(GuardSettings()),
            ),
            gateway=self.models,
            spans=self.spans,
            sandbox=BoundedSandbox(self.readers, at_once=2),
            model="small",
        )

    async def open(self) -> None:
        await self.index.prepare()

    async def work(self, *, workers: int = 2) -> None:
        """Start a worker."""
        worker.register(self.durable, self.pipeline, KnowledgeSettings(workers=workers))
        self.control.register(self.durable)
        await self.durable.launch()

    async def close(self) -> None:
        await self.durable.close()
        self.spans.close()

    async def add(
        self, text: str, path: str = "plan.md", *, source: str = "upload", collection: str | None = None
    ) -> Added:
        file = self.folder / "incoming"
        file.write_text(text)
        incoming = Incoming(
            collection=collection,
            source=source,
            path=path,
            file=file,
            modified_at=datetime(2025, 5, 4, tzinfo=UTC),
        )
        return await self.library.add(incoming)

    async def ingest(self, added: Added) -> Document:
        """Run the work of a revision by hand."""
        await self.pipeline.ingest(f"{added.document_id}@{added.revision}")
        return await self.library.document(added.document_id)

    async def ingest_newest(self, document_id: str) -> Document:
        document = await self.library.document(document_id)
        await self.pipeline.ingest(f"{document_id}@{document.revision}")
        return await self.library.document(document_id)

    async def until_states(self, **wanted: int) -> None:
        """Wait until so many documents are in each of these states."""
        async with asyncio.timeout(50):
            while True:
                counts = (await self.library.documents()).counts
                if all(counts[state] == wanted.get(state.value, 0) for state in counts):
                    return
                await asyncio.sleep(0.05)

    async def until_read(self, count: int) -> None:
        """Wait until so many files have been begun on."""
        async with asyncio.timeout(50):
            while len(self.readers.read) < count:  # noqa: ASYNC110 - the queue polls
                await asyncio.sleep(0.05)

    async def texts(self, document_id: str) -> str:
        return "\n".join(
            f"{chunk.heading}\n{chunk.text}" for chunk in await self.library.text_of(document_id)
        )

    async def search(self, query: str, *, sections: bool = False) -> SearchResult:
        search = Search(
            self.index,
            self.models,
            KnowledgeSettings(rerank=False),
            models=ModelSettings(),
            spans=self.spans,
            clock=SystemClock(),
        )
        call = Call(principal=SYSTEM, purpose="search")
        asked = SearchRequest(query=query)
        if sections:
            return await SectionSearch(search, self.database).search(asked, call)
        return await search.search(asked, call)

    async def options(self, changes: Mapping[str, object], collection: str | None = None) -> str:
        """The id of a collection, its options changed."""
        collection_id = await self.collections.ensure(collection)
        await self.control.change_options(collection_id, changes)
        return collection_id
