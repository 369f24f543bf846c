"""A file becomes searchable: parse, chunk, embed what is new in it, and swap old chunks for new in one transaction.

This is what durable work runs for one revision of a document, at least once and possibly again after a crash; a run
for a revision that is finished or overtaken changes nothing. Until the swap the revision before stays searchable,
and nothing partial ever is.

What the file's owner can mend, or has to know, ends as the document's failure and is not raised; what passes by
itself is raised, so that durable work tries again. A revision that is paused, cancelled or overtaken meanwhile is let go.

Several are on their way at once, so that one is read while another is embedded; each stage has a bound of its own, and
so has what is between them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.errors import (
    CausewayError,
    DatabaseUnavailableError,
    EmptyDocumentError,
    InvalidInputError,
    SettingsError,
    TryLaterError,
    UnreadableDocumentError,
)
from causeway.knowledge.document import Chunk
from causeway.knowledge.document_rows import title_of
from causeway.knowledge.index.stores import ChunkIndex
from causeway.knowledge.ingest.chunk_strategies import Cut
from causeway.knowledge.ingest.in_parallel import in_parallel
from causeway.knowledge.ingest.interruption import while_wanted
from causeway.knowledge.ingest.personal_data import Screened
from causeway.knowledge.ingest.preparation import Preparation
from causeway.knowledge.ingest.revisions import Revision, Revisions
from causeway.knowledge.ingest.sandbox import Sandbox
from causeway.observability.spans import Span, Spans
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

log = logging.getLogger(__name__)

EMBEDDED_AT_ONCE = 64
"""Texts in one call: enough for the embedder to sort by length, few enough that a long document leaves room."""

_DOCUMENTS_EMBEDDED_AT_ONCE = 4
"""The others wait with their text read, while the readers go on."""

_CALLS_AT_ONCE = 2
"""So that a lone long document keeps the embedder busy while the ledger's line for the last call is written."""

_CHUNK_BYTES = 16_384
"""What a chunk takes on the database's disk while it is written: text, words, vector, index, and all of it in the log."""

_PASSING = (TryLaterError, DatabaseUnavailableError)


class Pipeline:
    """Makes revisions searchable."""

    def __init__(
        self,
        *,
        revisions: Revisions,
        index: ChunkIndex,
        preparation: Preparation,
        gateway: ModelGateway,
        spans: Spans,
        sandbox: Sandbox,
        model: str,
    ) -> None:
        """``model`` is the embedding model, as the gateway knows it."""
        self._revisions = revisions
        self._index = index
        self._preparation = preparation
        self._gateway = gateway
        self._spans = spans
        self._sandbox = sandbox
        self._model = model
        self._embedding = asyncio.Semaphore(_DOCUMENTS_EMBEDDED_AT_ONCE)

    async def ingest(self, argument: str) -> None:
        """Make a revision searchable, or note why it cannot be; ``argument`` is ``<document_id>@<revision>``.

        Raises:
            TryLaterError: A model is not ready, or something did not answer.
            DatabaseUnavailableError: The database is gone.
            DiskFullError: There is not even room to note that there is none.
        """
        document_id, _, number = argument.rpartition("@")
        revision = await self._revisions.start(document_id, int(number))
        if revision is None:
            return
        with self._spans.start("ingest", attributes=_attributes(revision)) as span:
            try:
                is_finished = await while_wanted(
                    self._make_searchable(revision, span), partial(self._revisions.is_wanted, revision)
                )
                span.set({"causeway.is_dropped": not is_finished})
            except _PASSING:
                raise
            except CausewayError as exc:
                if isinstance(exc, EmptyDocumentError):
                    await self._forget_text(revision)
                await self._fail(revision, exc, exc.message, span)
            except Exception as exc:  # the worker's door: one document's trouble is its own
                log.exception("ingestion failed unexpectedly", extra={"document_id": document_id})
                reason = f"Causeway failed to ingest it ({type(exc).__name__}); its log says more"
                await self._fail(revision, exc, reason, span)

    async def _make_searchable(self, revision: Revision, span: Span) -> None:
        self._revisions.require_room(0)  # before the work, not after it
        screened = await self._parse(revision, span)
        if screened.refusal is not None:
            span.fail(UnreadableDocumentError(screened.refusal))
            await self._revisions.refuse(
                revision, screened.refusal, title=screened.title, metadata=screened.metadata or {}
            )
            return
        parsed, title = screened.parsed, screened.title
        if screened.metadata is not None:
            await self._revisions.redescribe(revision, screened.metadata)
        elif parsed.metadata:
            await self._revisions.describe(revision, parsed.metadata)
        async with self._embedding:
            cut = await self._cut(revision, screened, span)
            chunks = cut.chunks
            with self._spans.start("embed", parent=span.traceparent) as step:
                vectors = await self._embed(revision, chunks, step)
        notices = [each for each in (screened.notice, cut.notice) if each]
        await self._revisions.note(revision, "; ".join(notices) or None)
        self._revisions.require_room(len(chunks) * _CHUNK_BYTES)
        await self._revisions.keep_words(revision, parsed.page_words)
        with self._spans.start("index", parent=span.traceparent) as step:
            is_ready = await self._index.replace_document(
                revision.document_id,
                revision.number,
                chunks,
                vectors,
                media_type=parsed.media_type,
                title=title,
                pages=parsed.pages,
                blob=revision.blob,
            )
            step.set({"causeway.is_overtaken": not is_ready})
        if revision.options.pii.action != "keep":
            await self._revisions.forget_past(revision)
        await self._revisions.forget_replaced(revision)

    async def _parse(self, revision: Revision, span: Span) -> Screened:
        """What the file says, as its collection may have it."""
        with self._spans.start("parse", parent=span.traceparent) as step:
            file = self._revisions.file(revision)
            parsed = await self._sandbox.parse(file, name=revision.path)
            step.set({"causeway.media_type": parsed.media_type, "causeway.pages": parsed.pages})
        title = parsed.title.strip() or title_of(revision.path)
        if revision.options.pii.action == "keep":
            return Screened(parsed=parsed, title=title, found={})
        with self._spans.start("screen", parent=span.traceparent) as step:
            screened = await self._preparation.screen(
                parsed, title=title, metadata=revision.metadata, options=revision.options
            )
            step.set({"causeway.guard.found": [f"{kind}={n}" for kind, n in sorted(screened.found.items())]})
        return screened

    async def _cut(self, revision: Revision, screened: Screened, span: Span) -> Cut:
        with self._spans.start("chunk", parent=span.traceparent) as step:
            call = Call(principal=SYSTEM, purpose="ingest", traceparent=step.traceparent)
            embed = partial(self._vectors_of, call=call)
            cut = await self._preparation.cut(screened, options=revision.options, embed=embed, call=call)
            step.set({"causeway.chunks": len(cut.chunks)})
            step.set({"causeway.chunks.strategy": revision.options.chunking.strategy})
        if not cut.chunks:
            msg = "no text found in it"
            raise EmptyDocumentError(msg)
        return cut

    async def _embed(self, revision: Revision, chunks: Sequence[Chunk], step: Span) -> Vectors:
        """A vector for each chunk; only what the document did not say before is embedded."""
        digests = [chunk.digest(revision.embedding_model) for chunk in chunks]
        known = dict(await self._index.vectors_of(revision.document_id, digests))
        fresh = {
            digest: chunk.searchable
            for digest, chunk in zip(digests, chunks, strict=True)
            if digest not in known
        }
        step.set({"causeway.chunks.embedded": len(fresh), "causeway.chunks.unchanged": len(known)})
        if fresh:
            call = Call(principal=SYSTEM, purpose="ingest", traceparent=step.traceparent)
            made = await self._vectors_of(list(fresh.values()), call=call)
            _check_dimensions(made, revision, self._model)
            known |= dict(zip(fresh, made, strict=True))
        return np.stack([known[digest] for digest in digests])

    async def _vectors_of(self, texts: Sequence[str], *, call: Call) -> Vectors:
        parts: dict[int, Vectors] = {}

        async def embed(first: int) -> None:
            batch = tuple(texts[first : first + EMBEDDED_AT_ONCE])
            request = EmbedRequest(model=self._model, texts=batch, kind="document")
            parts[first] = (await self._gateway.embed(request, call)).vectors

        starts = range(0, len(texts), EMBEDDED_AT_ONCE)
        await in_parallel(map(embed, starts), at_once=_CALLS_AT_ONCE)
        return np.concatenate([parts[first] for first in starts])

    async def _forget_text(self, revision: Revision) -> None:
        """What a file said before it was emptied is not found any more."""
        await self._index.replace_document(
            revision.document_id,
            revision.number,
            (),
            np.empty((0, revision.dimensions), np.float32),
            media_type="",
            title=revision.title,
            pages=None,
            blob=revision.blob,
        )

    async def _fail(self, revision: Revision, error: Exception, reason: str, span: Span) -> None:
        span.fail(error)
        if not isinstance(error, InvalidInputError):
            log.warning("a document failed", extra={"document_id": revision.document_id, "reason": reason})
        is_emptied = isinstance(error, EmptyDocumentError)
        await self._revisions.fail(revision, reason, is_emptied=is_emptied)
        if is_emptied:
            await self._revisions.forget_replaced(revision)


def _attributes(revision: Revision) -> dict[str, object]:
    return {
        "causeway.document.id": revision.document_id,
        "causeway.document.revision": revision.number,
        "causeway.document.path": revision.path,
        "causeway.collection": revision.collection,
    }


def _check_dimensions(vectors: Vectors, revision: Revision, model: str) -> None:
    if vectors.shape[1] != revision.dimensions:
        raise SettingsError(
            f"collection '{revision.collection}' holds vectors of {revision.dimensions} numbers and '{model}' gives"
            f" {vectors.shape[1]}; set models.embed to the model it was made with, or use a new collection"
        )
