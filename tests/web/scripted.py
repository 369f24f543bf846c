"""A Causeway without models or database behind the real web: the sample company's documents, and answers by script.

Browser tests run against it, and ``python -m tests.web.demo`` serves it to whoever works on the pages.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from uuid import uuid4

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from causeway.contracts.chat import Usage
from causeway.contracts.clock import Clock, SystemClock
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.contracts.money import Micros
from causeway.errors import InvalidInputError, ModelUnavailableError, NotFoundError, NotSignedInError
from causeway.knowledge import (
    Added,
    Answerer,
    AnswerEvent,
    AskRequest,
    Chunk,
    Cited,
    Collection,
    Conversations,
    ConversingAnswerer,
    Document,
    DocumentPage,
    DocumentState,
    FacetValue,
    Finished,
    Hit,
    KeptRevision,
    LeftSource,
    Move,
    PageWords,
    Retrieved,
    Scores,
    SearchRequest,
    SearchResult,
    SourceRun,
    SourceStatus,
    TextDelta,
)
from causeway.knowledge.index.collection_moves import MoveState, Target
from causeway.knowledge.ingest.chunking import Chunker
from causeway.knowledge.ingest.parser import parse_file
from causeway.knowledge.ingest.reading import Reading
from causeway.observability import genai_names as names
from causeway.observability.feedback import Vote
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import Rating, SpanRecord, Trace, TraceChoices, TraceSummary
from causeway.settings import ServerSettings
from causeway.web.parts import AsgiScope, Receive, Send, WebParts
from tests.web.scripted_conversations import ScriptedConversations
from tests.web.scripted_evals import ScriptedEvals
from tests.web.scripted_stats import ScriptedStats

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "documents"
ADMIN_KEY = "cw-admin"
READER_KEY = "cw-reader"
MODEL = "qwen2.5-coder-1.5b-instruct"
_LOADED = (
    "policies/returns-online.md",
    "policies/returns-in-store.md",
    "policies/travel-policy-2026.pdf",
    "policies/travel-policy-2025.pdf",
    "policies/b2b-terms.pdf",
    "policies/privacy.md",
    "products/kestrel-ridge-2.pdf",
    "products/larkrise-tents.md",
    "products/boots.md",
    "products/stoves.md",
    "operations/pos-outage-runbook.md",
    "operations/card-terminal-error-codes.md",
    "handbook/leave.md",
    "handbook/expenses.md",
)
_MEDIA_TYPES = {".pdf": "application/pdf", ".md": "text/markdown", ".html": "text/html", ".txt": "text/plain"}
_WORD = re.compile(r"[a-z0-9]+")

EXAMPLES = (
    "How long may I return a tent I ordered online?",
    "What is the hotel limit per night outside the capital?",
    "The till shows an orange cloud. What do I do?",
    "Which of our tents stands the strongest wind?",
)
UNANSWERABLE = "Who won the cup final in 1987?"
BROKEN = "What happens when the model is away?"
ENDLESS = "Tell me everything about boots"
HOSTILE = "Show me something hostile"
UNSURE = "How warm is a tent at night?"
"""A question of which it is not clear that the documents answer it."""
FOLLOW_UP = ("And of the tents?", EXAMPLES[3])
"""A question that leans on another, and what it means after any."""

_ANSWERS: Mapping[str, tuple[tuple[tuple[str, str], ...], str]] = {
    EXAMPLES[0]: (
        (
            ("policies/returns-online.md", "In short"),
            ("policies/returns-online.md", "You may handle"),
            ("policies/returns-in-store.md", "30 days"),
            ("policies/b2b-terms.pdf", "return"),
        ),
        "You have **45 days** from the day of delivery. [1] A tent may have been pitched once, indoors or on dry"
        " grass, and it must be packed dry. [2]\n\nBefore you send it:\n\n- The item has to be unused, clean and with"
        " its labels. [1]\n- A return label costs **£3.95**, taken from the refund; for Fernhill Club members it is"
        " free. [1]\n\nThe refund comes within 5 working days of the parcel reaching the warehouse. [1]",
    ),
    UNSURE: (
        (("products/larkrise-tents.md", "wind"),),
        "The documents may not answer this. What comes nearest:\n\nLarkrise tents: \u201cThe wind limit is 70 km/h.\u201d [1]",
    ),
    EXAMPLES[1]: (
        (
            ("policies/travel-policy-2026.pdf", "Limit in 2026"),
            ("policies/travel-policy-2026.pdf", "What has changed"),
            ("policies/travel-policy-2025.pdf", ""),
            ("handbook/expenses.md", ""),
        ),
        "The limit is **£115** per night, with breakfast. [1] It was £95 under version 3 of 2025, which still holds"
        " for trips booked before 1 February 2026 that end by 31 March 2026. [2]",
    ),
    EXAMPLES[2]: (
        (
            ("operations/pos-outage-runbook.md", "offline mode"),
            ("operations/pos-outage-runbook.md", "First two minutes"),
            ("operations/card-terminal-error-codes.md", ""),
        ),
        "An orange cloud means that the till works but has no connection to the outside. [2] Tillbird switches to"
        " offline mode by itself, so you may go on selling, with limits: [1]\n\n| What | Limit |\n|---|---|\n| Offline"
        " sales | 400 transactions per shop or 12 hours |\n| Card payments | £75, chip and PIN only |\n| Refunds |"
        " none; fill in a promise slip |\n\n1. Restart the router once: pull the plug, wait for 30 seconds, put it"
        " back, wait for 4 minutes. [1]\n2. If the cloud is still orange after **15 minutes**, ring Tomasz (ext. 255)."
        " [1]",
    ),
    EXAMPLES[3]: (
        (
            ("products/kestrel-ridge-2.pdf", "Wind limit"),
            ("products/kestrel-ridge-2.pdf", "snow load"),
            ("products/larkrise-tents.md", ""),
        ),
        "The **Kestrel Ridge 2**: its wind limit is 110 km/h, guyed out. [1]",
    ),
    HOSTILE: (
        (("policies/privacy.md", ""),),
        "<script>window.hacked = true</script> <img src=x onerror=window.hacked=1> ![pixel](https://evil.example/p.png)"
        " [Sign in again](https://evil.example) <b>bold</b> `[1]` stays. [1]",
    ),
}


@dataclass(frozen=True, slots=True)
class _Slot:
    document: Document
    file: Path
    chunks: tuple[Chunk, ...]
    words: Mapping[int, bytes]


class ScriptedKeys:
    """Two keys: one may do everything, the other may ask."""

    async def identify(self, secret: str) -> Principal:
        known = {
            ADMIN_KEY: Principal(id="key_admin", name="admin", scopes=frozenset({Scope.ADMIN})),
            READER_KEY: Principal(id="key_reader", name="reader", scopes=frozenset({Scope.ASK})),
        }
        if secret not in known:
            msg = "unknown key; use one made by 'causeway keys create'"
            raise NotSignedInError(msg)
        return known[secret]


class ScriptedSessions:
    """Sessions in a dictionary."""

    lifetime = timedelta(days=30)

    def __init__(self) -> None:
        self._open: dict[str, str] = {}

    async def open(self, key_id: str) -> str:
        token = secrets.token_urlsafe(32)
        self._open[token] = key_id
        return token

    async def open_for(self, user_id: str) -> str:
        raise NotFoundError(f"there is no account '{user_id}'")

    async def principal(self, token: str) -> Principal:
        if token not in self._open:
            msg = "your session is over; sign in again"
            raise NotSignedInError(msg)
        return await ScriptedKeys().identify(self._open[token].replace("key_", "cw-"))

    async def close(self, token: str) -> None:
        self._open.pop(token, None)

    async def close_all(self, principal: Principal) -> int:
        theirs = [token for token, key_id in self._open.items() if key_id == principal.id]
        for token in theirs:
            del self._open[token]
        return len(theirs)


class ScriptedLibrary:
    """Documents in memory; a new one is waiting, then being read, then ready, ``step_s`` apart."""

    def __init__(self, folder: Path, clock: Clock, *, step_s: float = 0.4) -> None:
        self._folder = folder
        self._clock = clock
        self._step_s = step_s
        self._slots: dict[str, _Slot] = {}
        self._added_at: dict[str, float] = {}
        self.past: dict[str, tuple[KeptRevision, ...]] = {}
        self._past_chunks: dict[tuple[str, int], tuple[Chunk, ...]] = {}

    def seen_by(self, principal: Principal) -> ScriptedLibrary:
        return self

    def load(self, paths: Sequence[str]) -> None:
        """Put samples in, ready."""
        for number, path in enumerate(paths):
            file = SAMPLES / path
            at = self._clock.now() - timedelta(hours=7 * number + 1)
            self._put(file, path, "fernhill", f"folder:{SAMPLES}", at, DocumentState.READY)

    def path(self, sha256: str) -> Path:
        return next(slot.file for slot in self._slots.values() if slot.document.blob == sha256)

    @asynccontextmanager
    async def arriving(self, name: str) -> AsyncIterator[ScriptedArrival]:
        yield ScriptedArrival(self, name)

    def receive(self, content: bytes, name: str, collection: str | None) -> Added:
        kept = self._folder / uuid4().hex
        kept.write_bytes(content)
        now = self._clock.now()
        document = self._put(kept, name, collection or "default", "upload", now, DocumentState.QUEUED)
        return Added(document_id=document.id, revision=1, change="new", state=document.state)

    async def collections(self) -> Sequence[Collection]:
        found: dict[str, list[Document]] = {}
        for document in self._all():
            found.setdefault(document.collection, []).append(document)
        return [
            Collection(
                id=f"col_{name}",
                name=name,
                embedding_model="bge-small-en",
                dimensions=384,
                documents=len(each),
                ready=sum(document.ready_revision is not None for document in each),
                chunks=sum(document.chunks for document in each),
                created_at=self._clock.now(),
            )
            for name, each in sorted(found.items())
        ]

    async def document(self, document_id: str) -> Document:
        if document_id not in self._slots:
            raise NotFoundError(f"there is no document '{document_id}'; it may have been deleted")
        return self._now(document_id)

    async def documents(
        self,
        *,
        collection: str | None = None,
        state: DocumentState | None = None,
        text: str = "",
        order: str = "-updated",
        limit: int = 50,
        offset: int = 0,
    ) -> DocumentPage:
        matching = [
            document
            for document in self._all()
            if collection in (None, document.collection)
            and all(word in f"{document.title} {document.path}".lower() for word in text.lower().split())
        ]
        counts = {each: sum(document.state == each for document in matching) for each in DocumentState}
        listed = [document for document in matching if state in (None, document.state)]
        keys: Mapping[str, Callable[[Document], Any]] = {
            "title": lambda document: document.title.lower(),
            "collection": lambda document: document.collection,
            "size": lambda document: document.size_bytes,
            "updated": lambda document: document.updated_at,
        }
        listed.sort(key=keys[order.removeprefix("-")], reverse=order.startswith("-"))
        return DocumentPage(
            documents=tuple(listed[offset : offset + limit]), total=len(listed), counts=counts
        )

    async def text_of(self, document_id: str) -> Sequence[Chunk]:
        await self.document(document_id)
        return self._slots[document_id].chunks if self._now(document_id).chunks else ()

    async def is_original_hidden(self, document_id: str) -> bool:
        return False

    async def revision(self, document_id: str, number: int | None = None) -> KeptRevision:
        for kept in self.past.get(document_id, ()):
            if kept.revision == number:
                return kept
        document = await self.document(document_id)
        if number not in (None, document.revision):
            raise NotFoundError(f"revision {number} of document '{document_id}' is not kept any more")
        return _kept(document, None)

    async def revisions(self, document_id: str) -> Sequence[KeptRevision]:
        return self.past.get(document_id, ())

    async def read(self, revision: KeptRevision) -> Sequence[Chunk]:
        if revision.retired_at is None:
            return await self.text_of(revision.document_id)
        return self._past_chunks[revision.document_id, revision.revision]

    async def words_of(self, document_id: str, revision: int, *, page: int) -> PageWords | None:
        slot = self._slots.get(document_id)
        packed = slot.words.get(page) if slot and slot.document.revision == revision else None
        return PageWords.unpack(packed) if packed else None

    async def purge(self, document_id: str) -> int:
        return len(self.past.pop(document_id, ()))

    def all(self) -> Sequence[Document]:
        return self._all()

    def chunks(self, document_id: str) -> Sequence[Chunk]:
        return self._slots[document_id].chunks

    def forget(self, document_id: str) -> None:
        del self._slots[document_id]

    def supersede(self, document_id: str, chunks: Sequence[Chunk]) -> None:
        """Put a newer revision in a document's place, with the same file and other chunks."""
        slot = self._slots[document_id]
        document = slot.document
        self.past[document_id] = (_kept(document, self._clock.now()), *self.past.get(document_id, ()))
        self._past_chunks[document_id, document.revision] = slot.chunks
        newer = replace(document, revision=document.revision + 1, ready_revision=document.revision + 1)
        self._slots[document_id] = replace(slot, document=newer, chunks=tuple(chunks))

    async def retry(self, document_id: str) -> None:
        slot = self._slots[document_id]
        self._added_at[document_id] = self._clock.monotonic()
        queued = replace(slot.document, state=DocumentState.QUEUED, failure=None)
        self._slots[document_id] = replace(slot, document=queued)

    async def delete(self, document_id: str, *, purge: bool = False) -> None:
        await self.document(document_id)
        del self._slots[document_id]
        if purge:
            self.past.pop(document_id, None)

    def hits(self, wanted: Sequence[tuple[str, str]]) -> tuple[Hit, ...]:
        """A passage for each ``(path, words)``: the first of the document that has the words."""
        found = []
        for number, (path, words) in enumerate(wanted):
            slot = next((slot for slot in self._slots.values() if slot.document.path == path), None)
            if slot is not None:
                having = (c for c in slot.chunks if words.lower() in f"{c.heading} {c.text}".lower())
                found.append(_hit(slot, next(having, slot.chunks[0]), 0.92 - 0.11 * number))
        return tuple(found)

    def nearest(self, query: str, most: int) -> tuple[Hit, ...]:
        """Passages that share most words with the query."""
        asked = set(_WORD.findall(query.lower()))
        ranked = sorted(
            (
                (len(asked & set(_WORD.findall(c.searchable.lower()))), s, c)
                for s in self._slots.values()
                for c in s.chunks
            ),
            key=lambda each: -each[0],
        )
        return tuple(_hit(slot, chunk, count / (len(asked) or 1)) for count, slot, chunk in ranked[:most])

    def _all(self) -> list[Document]:
        return [self._now(document_id) for document_id in list(self._slots)]

    def _now(self, document_id: str) -> Document:
        """The document as far as it is by now."""
        document, chunks = self._slots[document_id].document, self._slots[document_id].chunks
        if document.state is DocumentState.READY:
            return document
        steps = (self._clock.monotonic() - self._added_at[document_id]) / self._step_s
        if steps < 1:
            return document
        if steps < 2:
            return replace(document, state=DocumentState.PROCESSING)
        if not chunks:
            reason = "The file is encrypted. Save it without its password and add it again."
            return replace(document, state=DocumentState.FAILED, failure=reason)
        return replace(
            document,
            state=DocumentState.READY,
            chunks=len(chunks),
            ready_revision=1,
            ready_blob=document.blob,
        )

    def _put(
        self, file: Path, path: str, collection: str, source: str, at: datetime, state: DocumentState
    ) -> Document:
        content = file.read_bytes()
        media_type = _MEDIA_TYPES.get(Path(path).suffix.lower(), "application/octet-stream")
        chunks, pages, words = ((), None, {}) if "encrypted" in path else _chunks(file, media_type, path)
        is_ready = state is DocumentState.READY
        document = Document(
            id=f"doc_{uuid4().hex}",
            collection=collection,
            source=source,
            path=path,
            title=chunks[0].heading.partition(" > ")[0] if chunks else Path(path).stem,
            media_type=media_type,
            size_bytes=len(content),
            blob=hashlib.sha256(content).hexdigest(),
            modified_at=at,
            revision=1,
            state=state,
            failure=None,
            ready_revision=1 if is_ready else None,
            ready_blob=hashlib.sha256(content).hexdigest() if is_ready else None,
            pages=pages,
            chunks=len(chunks) if is_ready else 0,
            metadata={},
            created_at=at,
            updated_at=at,
        )
        self._slots[document.id] = _Slot(document, file, chunks, words)
        self._added_at[document.id] = self._clock.monotonic()
        return document


class ScriptedArrival:
    """A file in memory."""

    def __init__(self, library: ScriptedLibrary, name: str) -> None:
        self._library = library
        self._name = name
        self._content = b""

    async def write(self, piece: bytes) -> None:
        self._content += piece

    async def add(
        self,
        *,
        by: Principal,
        collection: str | None = None,
        metadata: Mapping[str, object] | None = None,
        key: str = "",
    ) -> Added:
        return self._library.receive(self._content, self._name, collection)


class ScriptedSearch:
    """Word overlap; it knows one way to say a filter, one misspelling and one newer document."""

    PDF_ONLY: Final = "only PDF files"
    MISSPELT: Final[Mapping[str, str]] = {"retrun": "return"}

    def __init__(self, library: ScriptedLibrary) -> None:
        self._library = library

    async def search(self, request: SearchRequest, call: Call) -> SearchResult:
        query, filters, chips = request.query, dict(request.filters), []
        if self.PDF_ONLY in query and self.PDF_ONLY not in request.literal:
            query = query.replace(self.PDF_ONLY, "")
            chips.append({"field": "type", "value": "pdf", "words": self.PDF_ONLY})
        mended = [{"written": k, "read": v} for k, v in self.MISSPELT.items() if k in query.split()]
        for one in mended:
            query = query.replace(one["written"], one["read"])
        found = [hit for hit in self._library.nearest(query, 60) if _passes(hit, filters, is_pdf=bool(chips))]
        found[:1] = [replace(hit, boosts={"recency": 0.12}) for hit in found[:1]]
        return SearchResult(
            hits=tuple(found[: request.top_k]),
            understood={"query": query.strip(), "filters": filters, "chips": chips, "mended": mended},
            took_ms=3,
            facets=_facets(found, request.facets),
        )


def _passes(hit: Hit, filters: Mapping[str, object], *, is_pdf: bool) -> bool:
    wanted = {field: value if isinstance(value, list) else [value] for field, value in filters.items()}
    return (not is_pdf or hit.media_type == "application/pdf") and all(
        _field(hit, field) in values for field, values in wanted.items()
    )


def _field(hit: Hit, field: str) -> str:
    return {"type": hit.media_type, "folder": hit.path.split("/")[0], "collection": hit.collection}.get(
        field, ""
    )


def _facets(hits: Sequence[Hit], fields: Sequence[str]) -> Mapping[str, tuple[FacetValue, ...]]:
    documents = list({hit.document_id: hit for hit in hits}.values())
    counted = {field: Counter(_field(hit, field) for hit in documents) for field in fields}
    return {
        field: tuple(FacetValue(value=value, count=count) for value, count in each.most_common() if value)
        for field, each in counted.items()
    }


class ScriptedAnswerer:
    """Answers the examples, refuses everything else; ``pause_s`` between words."""

    def __init__(self, library: ScriptedLibrary, traces: ScriptedTraces, *, pause_s: float = 0.004) -> None:
        self._library = library
        self._traces = traces
        self._pause_s = pause_s
        self.closed = 0
        """Answers whose reader went away before the end."""

    async def ask(self, request: AskRequest, call: Call) -> AsyncGenerator[AnswerEvent, None]:
        understood = FOLLOW_UP[1] if request.before and request.question == FOLLOW_UP[0] else request.question
        wanted, text = _ANSWERS.get(understood, ((), ""))
        hits = self._library.hits(wanted) or self._library.nearest(understood, 3)
        hits = tuple(hit for hit in hits if _passes(hit, request.filters, is_pdf=False))
        mended = [{"written": k, "read": v} for k, v in ScriptedSearch.MISSPELT.items() if k in understood]
        await asyncio.sleep(20 * self._pause_s)
        yield Retrieved(
            hits=hits,
            question=understood,
            understood={"mended": mended},
            facets=_facets(hits, request.facets),
            conversation_id=request.conversation_id,
        )
        if request.question == BROKEN:
            msg = "the model 'chat' is starting; try again in a moment"
            raise ModelUnavailableError(msg)
        cited: dict[int, Cited] = {}
        is_done = False
        try:
            for word in _words(request.question, text):
                await asyncio.sleep(self._pause_s)
                yield TextDelta(text=word)
                for mark in re.findall(r"\[(\d)\]", word):
                    if int(mark) not in cited and int(mark) <= len(hits):
                        cited[int(mark)] = _cite(int(mark), hits[int(mark) - 1], text)
                        yield cited[int(mark)]
            is_done = True
        finally:
            self.closed += not is_done
        refusal = "The documents don't say. I found no passage that answers this question."
        if not text:
            yield TextDelta(text=refusal)
        usage = Usage(input_tokens=913, output_tokens=len(text.split()))
        yield Finished(
            answer=text or refusal,
            refused=not text,
            citations=tuple(cited.values()),
            trace_id=self._traces.record(request.question, text or refusal, hits, usage),
            conversation_id=request.conversation_id,
            question=understood,
            usage=usage,
            cost_micros=Micros(0),
            model=MODEL,
            took_ms=3412,
            is_sure=request.question != UNSURE,
            left_out=2 * (request.question == UNSURE),
        )


class ScriptedTraces:
    """Traces of what was asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._traces: dict[str, tuple[TraceSummary, Trace]] = {}
        self.rated: dict[str, list[Rating]] = {}

    def record(self, question: str, answer: str, hits: Sequence[Hit], usage: Usage) -> str:
        trace_id = uuid4().hex
        now = self._clock.now()
        spans = tuple(_spans(trace_id, now, question, answer, hits, usage))
        summary = TraceSummary(
            trace_id=trace_id,
            name="ask",
            started_at=now,
            duration_ms=3412,
            status="ok",
            model=MODEL,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_micros=Micros(0),
            question=question,
        )
        self._traces[trace_id] = (summary, Trace(trace_id=trace_id, spans=spans))
        return trace_id

    async def find(self, query: TraceQuery) -> list[TraceSummary]:
        found = [
            each
            for each, _ in self._traces.values()
            if query.text.lower() in f"{each.name} {each.question}".lower()
            and query.status in ("", each.status)
            and query.model in ("", each.model)
        ]
        newest = sorted(found, key=lambda each: (each.started_at, each.trace_id), reverse=True)
        places = [place for place, each in enumerate(newest, 1) if each.trace_id == query.after]
        return newest[places[0] if places else 0 :][: query.limit]

    async def ratings(self, trace_id: str) -> list[Rating]:
        return self.rated.get(trace_id, [])

    async def choices(self, *, owner: str | None = None) -> TraceChoices:
        return TraceChoices(models=(MODEL,), products=("ask",), services=("causeway",))

    def put(self, summary: TraceSummary, trace: Trace) -> None:
        """Keep a trace of somebody else's making."""
        self._traces[summary.trace_id] = (summary, trace)

    async def trace(self, trace_id: str, *, owner: str | None = None) -> Trace:
        if trace_id not in self._traces:
            raise NotFoundError(
                f"no trace '{trace_id}': it was never recorded or is older than telemetry.trace_days"
            )
        return self._traces[trace_id][1]


class ScriptedSources:
    """One source of each state; a requested one is queued."""

    def __init__(self, clock: Clock) -> None:
        now = clock.now()
        early, soon = now - timedelta(minutes=12), now + timedelta(minutes=48)
        counts = {"new": 3, "changed": 2, "unchanged": 1204, "deleted": 1, "failed": 0}
        failed = [{"path": "Plans/Roadmap.md", "reason": "it has more than 20,000 blocks; split the page"}]
        refused = "sources.chat (Slack) refuses its token (token_revoked); put a valid one into its section"
        ran = SourceRun(
            name="handbook", run=7, started_at=early, finished_at=early, next_at=soon, counts=counts
        )
        partly = replace(ran, name="wiki", counts={**counts, "failed": 1}, failures=failed)
        stopped = replace(ran, name="chat", counts={}, problem=refused)
        self._sources = {
            each.name: each
            for each in (
                _source(stopped, "slack", "Slack's API"),
                _source(ran, "folder", "/srv/handbook"),
                _source(SourceRun(name="site"), "web", "https://fernhill.example/help/"),
                _source(partly, "notion", "Notion's API"),
            )
        }

        self._left = {
            "old-wiki": LeftSource(
                name="old-wiki", source="notion:old-wiki", collection="fernhill", documents=214
            )
        }
        self.forgotten: list[tuple[str, bool]] = []

    def clear(self) -> None:
        self._sources.clear()
        self._left.clear()

    async def left(self) -> Sequence[LeftSource]:
        return tuple(self._left.values())

    async def forget(self, name: str, *, documents: bool) -> LeftSource:
        if name in self._sources:
            raise InvalidInputError(f"source '{name}' is in the settings; take its section out")
        if name not in self._left:
            raise NotFoundError(f"there is no source '{name}' that was taken out of the settings")
        self.forgotten.append((name, documents))
        return self._left.pop(name)

    async def all(self) -> Sequence[SourceStatus]:
        return tuple(self._sources.values())

    async def source(self, name: str) -> SourceStatus:
        if name not in self._sources:
            raise NotFoundError(f"the settings have no source '{name}'")
        return self._sources[name]

    async def cancel(self, name: str) -> bool:
        return (await self.source(name)).last.state != "idle"

    async def request(self, name: str) -> SourceStatus:
        if name not in self._sources:
            raise NotFoundError(f"the settings have no source '{name}'")
        asked = self._sources[name]
        self._sources[name] = replace(asked, last=replace(asked.last, is_requested=True))
        return self._sources[name]


class ScriptedMoves:
    """One collection that was moved; another can be."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.now()
        self._moves = {"handbook": self._move("handbook", "pinecone", "done")}

    def _move(self, name: str, target: str, state: str) -> Move:
        return Move(
            collection=name,
            target=cast(Target, target),
            state=cast(MoveState, state),
            total=120,
            copied=120 if state == "done" else 40,
            problem=None,
            requested_at=self._now,
            finished_at=self._now if state == "done" else None,
        )

    async def all(self) -> Sequence[Move]:
        return tuple(self._moves.values())

    @property
    def can_move(self) -> bool:
        return True

    async def request(self, name: str, target: str, *, by: Principal) -> Move:
        if name not in ("handbook", "fernhill"):
            raise NotFoundError(f"there is no collection '{name}'")
        self._moves[name] = self._move(name, target, "copying")
        return self._moves[name]


def _source(run: SourceRun, kind: str, place: str) -> SourceStatus:
    return SourceStatus(
        name=run.name,
        kind=kind,
        source=f"{kind}:{run.name}",
        collection="fernhill",
        place=place,
        schedule_minutes=60,
        last=run,
    )


class ScriptedFeedback:
    """Remembers votes; those that hold now are in ``held``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.votes: list[tuple[str, bool, str | None]] = []
        self.held: dict[tuple[str, str], Vote] = {}

    async def vote(
        self,
        trace_id: str,
        principal_id: str,
        *,
        is_up: bool,
        reason: str | None = None,
        correction: str | None = None,
        owner: str | None = None,
    ) -> None:
        self.votes.append((trace_id, is_up, correction))
        self.held[trace_id, principal_id] = Vote(
            trace_id=trace_id,
            is_up=is_up,
            reason=reason,
            correction=correction,
            at=self._clock.now(),
        )

    async def withdraw(self, trace_id: str, principal_id: str) -> bool:
        return self.held.pop((trace_id, principal_id), None) is not None

    async def given(self, principal_id: str, trace_ids: Sequence[str]) -> list[Vote]:
        return [
            vote for (trace_id, by), vote in self.held.items() if by == principal_id and trace_id in trace_ids
        ]


@dataclass(frozen=True, slots=True)
class Scripted:
    """The whole, with the pieces that tests look into."""

    parts: WebParts
    answerer: ScriptedAnswerer
    library: ScriptedLibrary
    feedback: ScriptedFeedback
    sources: ScriptedSources
    not_ready: dict[str, str | None]
    evals: ScriptedEvals
    stats: ScriptedStats


def scripted(
    folder: Path,
    *,
    is_loaded: bool = True,
    root_path: str = "",
    pause_s: float = 0.004,
    max_upload_bytes: int = 2_000_000,
    clock: Clock | None = None,
) -> Scripted:
    """A scripted Causeway; ``folder`` keeps what is uploaded."""
    clock = clock or SystemClock()
    library = ScriptedLibrary(folder, clock)
    if is_loaded:
        library.load(_LOADED)
    traces = ScriptedTraces(clock)
    answerer = ScriptedAnswerer(library, traces, pause_s=pause_s)
    conversations = ScriptedConversations(clock)
    conversing = ConversingAnswerer(cast("Answerer", answerer), cast("Conversations", conversations))
    feedback = ScriptedFeedback(clock)
    sources = ScriptedSources(clock)
    evals = ScriptedEvals(clock)
    stats = ScriptedStats(is_empty=not is_loaded)
    not_ready: dict[str, str | None] = {"database": None, "models": None}

    async def readiness() -> Mapping[str, str | None]:
        return not_ready

    parts = WebParts(
        settings=ServerSettings(root_path=root_path, max_upload_bytes=max_upload_bytes),
        clock=clock,
        keys=ScriptedKeys(),
        sessions=ScriptedSessions(),
        library=library,
        uploads=library,
        sources=sources,
        moves=ScriptedMoves(clock),
        blobs=library,
        search=ScriptedSearch(library),
        answerer=conversing,
        conversations=conversations,
        traces=traces,
        feedback=feedback,
        edge=_edge,
        readiness=readiness,
        evals=evals,
        stats=stats,
        examples={"fernhill": EXAMPLES},
    )
    return Scripted(parts, answerer, library, feedback, sources, not_ready, evals, stats)


async def _edge(scope: AsgiScope, receive: Receive, send: Send) -> None:
    body = f"edge {scope['path']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


def _words(question: str, text: str) -> Sequence[str]:
    if question == ENDLESS:
        return ["Boots "] * 20_000
    return re.findall(r"\S+\s*|\s+", text)


@cache
def _chunks(
    file: Path, media_type: str, path: str
) -> tuple[tuple[Chunk, ...], int | None, Mapping[int, bytes]]:
    """A PDF as ingestion cuts it, so that it has places; other samples along their headings, which is enough to look at."""
    if media_type == "application/pdf":
        parsed = parse_file(file, name=path, reading=Reading())
        return _chunker().chunk(parsed, title=parsed.title), parsed.pages, parsed.page_words
    text = file.read_text(encoding="utf-8", errors="replace")
    title = text.partition("\n")[0].strip("# ") or Path(path).stem
    sections = re.split(r"^## ", text.partition("\n")[2], flags=re.MULTILINE)
    parts = [(title, sections[0].strip(), None)]
    for section in sections[1:]:
        heading, _, body = section.partition("\n")
        parts.append((f"{title} > {heading.strip()}", body.strip(), None))
    return _numbered([part for part in parts if part[1]]), None, {}


@cache
def _chunker() -> Chunker:
    """Counts words as tokens."""
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return Chunker(tokenizer, max_tokens=160)


def _numbered(parts: Sequence[tuple[str, str, int | None]]) -> tuple[Chunk, ...]:
    return tuple(
        Chunk(ordinal=ordinal, heading=heading, text=text, page=page, tokens=len(text.split()))
        for ordinal, (heading, text, page) in enumerate(parts)
    )


def _kept(document: Document, retired_at: datetime | None) -> KeptRevision:
    return KeptRevision(
        document_id=document.id,
        revision=document.revision,
        collection=document.collection,
        source=document.source,
        path=document.path,
        title=document.title,
        media_type=document.media_type,
        blob=document.blob,
        pages=document.pages,
        metadata={},
        retired_at=retired_at,
    )


def _hit(slot: _Slot, chunk: Chunk, score: float) -> Hit:
    document = slot.document
    return Hit(
        chunk_id=f"chk_{document.id[4:12]}_{chunk.ordinal}",
        document_id=document.id,
        ordinal=chunk.ordinal,
        collection=document.collection,
        title=document.title,
        source=document.source,
        path=document.path,
        media_type=document.media_type,
        page=chunk.page,
        heading=chunk.heading,
        text=chunk.text,
        tokens=chunk.tokens,
        score=round(score, 4),
        scores=Scores(bm25=11.3 * score, vector=0.88 * score, fused=score, rerank=min(1.0, score + 0.05)),
        metadata={},
        revision=document.revision,
        places=chunk.places,
    )


def _cite(n: int, hit: Hit, answer: str) -> Cited:
    said = set(_WORD.findall(answer.lower()))
    sentences = [piece.strip() for piece in re.split(r"(?<=[.!?])\s+|\n+", hit.text) if piece.strip()]
    quote = max(sentences, key=lambda piece: len(said & set(_WORD.findall(piece.lower()))))
    return Cited(
        n=n,
        document_id=hit.document_id,
        chunk_id=hit.chunk_id,
        ordinal=hit.ordinal,
        title=hit.title,
        source=hit.source,
        path=hit.path,
        page=hit.page,
        heading=hit.heading,
        quote=quote,
        score=0.9,
        revision=hit.revision,
        places=hit.places,
    )


def _spans(
    trace_id: str, at: datetime, question: str, answer: str, hits: Sequence[Hit], usage: Usage
) -> list[SpanRecord]:
    found = [
        {
            "id": h.chunk_id,
            "document_id": h.document_id,
            "revision": h.revision,
            "ordinal": h.ordinal,
            "title": h.title,
            "page": h.page,
            "score": h.score,
            "text": h.text,
        }
        for h in hits
    ]
    messages = [
        {"role": "system", "content": "Answer from the passages alone and cite each claim as [n]."},
        {"role": "user", "content": question},
    ]
    model = {names.RESPONSE_MODEL: MODEL, names.PROVIDER: "local"}
    tokens = {
        names.INPUT_TOKENS: usage.input_tokens,
        names.OUTPUT_TOKENS: usage.output_tokens,
        names.COST_MICROS: 0,
    }
    chat = {
        names.OPERATION: "chat",
        names.INPUT_MESSAGES: messages,
        names.OUTPUT_MESSAGES: [{"role": "assistant", "content": answer}],
        names.PROMPT: "answer",
        names.PROMPT_VERSION: "1",
        names.TIME_TO_FIRST_CHUNK: 0.41,
        names.FINISH_REASONS: ["end"],
    }
    rows: list[tuple[str, str | None, str, str, int, int, dict[str, object]]] = [
        (
            "1",
            None,
            "ask",
            "server",
            0,
            3412,
            {names.QUESTION: question, names.ANSWER: answer, names.PURPOSE: "ask"},
        ),
        (
            "2",
            "1",
            "search",
            "internal",
            3,
            118,
            {names.OPERATION: "retrieval", names.RETRIEVAL_DOCUMENTS: found, names.RETRIEVAL_TOP_K: 10},
        ),
        (
            "3",
            "2",
            "embeddings bge-small-en",
            "client",
            5,
            14,
            {names.OPERATION: "embeddings", names.RESPONSE_MODEL: "bge-small-en", names.INPUT_TOKENS: 14},
        ),
        (
            "4",
            "2",
            "rerank reranker-en",
            "client",
            31,
            88,
            {names.OPERATION: "rerank", names.RESPONSE_MODEL: "reranker-en"},
        ),
        ("5", "1", f"chat {MODEL}", "client", 124, 3281, {**chat, **model, **tokens}),
    ]
    return [
        SpanRecord(
            span_id=f"{trace_id[:15]}{span_id}",
            trace_id=trace_id,
            parent_id=f"{trace_id[:15]}{parent}" if parent else None,
            name=name,
            kind=kind,
            started_at=at.astimezone(UTC) + timedelta(milliseconds=start),
            duration_ms=duration,
            status="ok",
            status_message=None,
            attributes=attributes,
            events=(),
        )
        for span_id, parent, name, kind, start, duration, attributes in rows
    ]
