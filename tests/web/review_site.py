"""The pages of review over a database: a few documents, answers that people voted on, and a queue.

``python -m tests.web.review_site [PORT]`` serves them to whoever works on the pages; it prints the address, the key is
cw-admin.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from causeway.contracts.clock import SystemClock
from causeway.evals.collected import CollectedSuites
from causeway.evals.experiments import Experiments
from causeway.evals.feedback_export import FeedbackExport
from causeway.evals.learning import Reviewing
from causeway.evals.measures import RetrievalMeasure
from causeway.gateway import audit
from causeway.guard.pii import Finder
from causeway.knowledge import ConfirmedAnswers, Proofs, Search
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.library import Library
from causeway.observability import genai_names as names
from causeway.observability.feedback import Feedback
from causeway.observability.review import Reviews
from causeway.observability.spans import Spans
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.settings import DatabaseSettings, GuardSettings, KnowledgeSettings, ModelSettings
from causeway.storage.database import Database, open_database
from causeway.storage.durable import Durable
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import FakeGateway
from causeway.web.parts import ReviewParts, WebParts
from tests.web.scripted import scripted
from tests.web.serving import serve_until_stopped, serving

RETURNS = Sheet(
    id="doc_returns",
    title="Returns",
    path="policies/returns.md",
    texts=("Web orders may be sent back within 45 days of delivery.", "A return label costs £3.95."),
)
TENTS = Sheet(
    id="doc_tents",
    title="Kestrel Ridge 2",
    path="products/kestrel.md",
    texts=("The Kestrel Ridge 2 withstands 110 km/h.",),
)
LEAVE = Sheet(
    id="doc_leave", title="Leave", path="handbook/leave.md", texts=("Everybody has 28 days of leave.",)
)
_CASE = "causeway.citations"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSite:
    """Everything a test may want to touch."""

    parts: WebParts
    review: ReviewParts
    feedback: Feedback
    answers: ConfirmedAnswers
    proofs: Proofs
    database: Database
    spans: Spans
    pile: SheetPile

    async def asked(self, question: str, answer: str, *chunks: tuple[str, str], refused: bool = False) -> str:
        """An answer in a trace; ``chunks`` are the cited ones, with their documents."""
        cited = [
            {"n": n, "chunk_id": chunk_id, "revision": 1, "score": 0.8}
            for n, (chunk_id, _) in enumerate(chunks, start=1)
        ]
        shown = [
            {"id": chunk_id, "document_id": document_id, "title": document_id, "text": f"Text of {chunk_id}."}
            for chunk_id, document_id in (*chunks, ("chk_leave_1_0", "doc_leave"))
        ]
        with self.spans.start("ask", kind="server", attributes={names.QUESTION: question}) as root:
            root.set({names.OWNER: "key_reader", names.PURPOSE: "ask"})
            with self.spans.start("search", parent=root.traceparent) as step:
                step.set({names.RETRIEVAL_DOCUMENTS: shown})
            root.set({names.ANSWER: answer, names.REFUSED: refused, _CASE: cited})
        await asyncio.to_thread(self.spans.flush)
        return root.trace_id

    async def furnish(self) -> list[str]:
        """Documents, and answers that people voted on; their traces."""
        await self.pile.add(RETURNS, TENTS, LEAVE)
        first, label = ("chk_returns_1_0", "doc_returns"), ("chk_returns_1_1", "doc_returns")
        tent = ("chk_tents_1_0", "doc_tents")
        liked = await self.asked(
            "How long may I send a web order back?", "You have **45 days** from delivery. [1]", first
        )
        wrong = await self.asked(
            "How strong a wind does the Kestrel Ridge 2 stand?",
            "Its wind limit is 120 km/h. [1] <script>alert(1)</script>",
            tent,
        )
        dear = await self.asked("What does a return label cost?", "It is free. [1]", label)
        none = await self.asked(
            "What is the wifi password?", "The documents don't say. I found no passage.", refused=True
        )
        await self.feedback.vote(liked, "key_reader", is_up=True)
        await self.feedback.vote(
            wrong, "key_reader", is_up=False, reason="wrong", correction="It is 110 km/h, guyed out."
        )
        await self.feedback.vote(dear, "key_other", is_up=False, reason="Not free at all!")
        await self.feedback.vote(none, "key_reader", is_up=False, reason="refused")
        return [liked, wrong, dear, none]


@asynccontextmanager
async def review_site(database_url: str, folder: Path) -> AsyncIterator[ReviewSite]:
    """The site over a database at the newest revision, without documents."""
    clock = SystemClock()
    database = await open_database(DatabaseSettings(url=SecretStr(database_url)), folder)
    spans = Spans(SpanWriter(database.url))
    durable = Durable(database.url, executor_id="exe_test")
    gateway, index, settings = FakeGateway(), PostgresIndex(database), KnowledgeSettings()
    await index.prepare()
    answers, proofs = ConfirmedAnswers(database, gateway), Proofs(database, settings, clock)
    search = Search(index, gateway, settings, models=ModelSettings(), spans=spans, clock=clock)
    traces, collected = TraceStore(database, spans), CollectedSuites(database)
    reviews = Reviews(database)
    review = ReviewParts(
        reviewing=Reviewing(reviews, answers=answers, traces=traces, library=_library(database)),
        collected=collected,
        export=FeedbackExport(
            database, reviews, traces=traces, finder=Finder(GuardSettings()), record=audit.record
        ),
        experiments=Experiments(
            database,
            durable,
            answers=answers,
            proofs=proofs,
            suites=collected,
            measures={"retrieval-votes": RetrievalMeasure(gateway, search.moved_by)},
            clock=clock,
        ),
    )
    feedback = Feedback(database, spans)
    parts = replace(scripted(folder).parts, traces=traces, feedback=feedback, review=review)
    try:
        yield ReviewSite(
            parts=parts,
            review=review,
            feedback=feedback,
            answers=answers,
            proofs=proofs,
            database=database,
            spans=spans,
            pile=SheetPile(database, index),
        )
    finally:
        await durable.close()
        await asyncio.to_thread(spans.close)
        await database.close()


def _library(database: Database) -> Any:
    """Documents by id, which is all that review asks of a library."""
    nothing: Any = None
    return Library(database=database, collections=nothing, originals=nothing, durable=nothing)


@contextmanager
def serving_review(database_url: str, folder: Path, *, port: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Serve the furnished site from a thread with a loop of its own; its address, and the traces."""
    traces: list[str] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[ReviewSite]:
        async with review_site(database_url, folder) as site:
            traces.extend(await site.furnish())
            yield site

    with serving(opened, port=port) as (address, _):
        yield address, traces


def main() -> None:
    """Serve until stopped."""
    serve_until_stopped(lambda url, folder, port: serving_review(url, folder, port=port), port=8097)


if __name__ == "__main__":
    main()
