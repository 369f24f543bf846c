"""The strategy ``contextual``: above each chunk a line that a model wrote about its place in the document.

After Anthropic, "Introducing contextual retrieval" (2024): a chunk that says "it rose by 3 %" is found once something
says what rose. The line is embedded and matched with the chunk and never shown as the document's own words.

Bounded: so many chunks of a document, one short reply each, and an end after some failures in a row. What was written
is kept under the hash of all that the model was shown, so that a document read again costs only its changes. A chunk
without a line is indexed without one, and the document says why.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from causeway.contracts.chat import ChatRequest
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.errors import CausewayError
from causeway.knowledge.document import Chunk
from causeway.knowledge.ingest.chunk_text import Counter
from causeway.knowledge.ingest.in_parallel import in_parallel
from causeway.prompts.prompt import Prompt
from causeway.prompts.shelf import Shelf
from causeway.storage.database import Database
from causeway.storage.schema import chunk_contexts

log = logging.getLogger(__name__)

CONTEXT_TOKENS = 56
"""What a chunk leaves free for its line."""
MOST_LINES = 400
"""For one document; at 2 s each on a small machine that is a quarter of an hour."""
_MOST_FAILURES = 3
_AT_ONCE = 2
_BEGINNING = 1200
_REPLY_TOKENS = 48
_DEADLINE_S = 60.0


@dataclass(slots=True)
class _Writing:
    """One document on its way."""

    title: str
    beginning: str
    prompt: Prompt
    call: Call
    lines: dict[int, str] = field(default_factory=dict)
    failures: int = 0
    reason: str = ""


class ContextWriter:
    """Writes the lines, and keeps them."""

    def __init__(self, *, database: Database, gateway: ModelGateway, prompts: Shelf, model: str) -> None:
        """``model`` is the chat model's name, as the gateway knows it."""
        self._database = database
        self._gateway = gateway
        self._prompts = prompts
        self._model = model

    async def write(
        self, counter: Counter, chunks: Sequence[Chunk], *, title: str, max_tokens: int, call: Call
    ) -> tuple[tuple[Chunk, ...], str | None]:
        """``chunks`` with a line each that fits, and why some have none; None when all have."""
        beginning = "\n\n".join(chunk.text for chunk in chunks[:8])[:_BEGINNING]
        prompt = self._prompts.get("context", key=title)
        writing = _Writing(title, beginning, prompt, msgspec.structs.replace(call, prompt=prompt.reference))
        wanted = chunks[:MOST_LINES]
        await in_parallel((self._line(writing, chunk) for chunk in wanted), at_once=_AT_ONCE)
        placed = tuple(
            _with(counter, chunk, writing.lines.get(chunk.ordinal, ""), max_tokens) for chunk in chunks
        )
        return placed, _notice(placed, writing)

    async def _line(self, writing: _Writing, chunk: Chunk) -> None:
        if writing.failures >= _MOST_FAILURES:
            return
        shown = {
            "title": writing.title,
            "beginning": writing.beginning,
            "heading": chunk.heading,
            "text": chunk.text,
        }
        key = _hash(self._model, writing.prompt.sha256, *shown.values())
        line = await self._kept(key)
        if line is None:
            request = ChatRequest(
                model=self._model,
                messages=writing.prompt.messages(shown),
                max_tokens=_REPLY_TOKENS,
                temperature=0.0,
            )
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    reply = await self._gateway.complete(request, writing.call)
            except (CausewayError, TimeoutError) as exc:
                writing.failures += 1
                writing.reason = exc.message if isinstance(exc, CausewayError) else "the model did not answer"
                log.warning("a chunk has no context", extra={"reason": writing.reason})
                return
            line = _one_line(reply.text)
            if line:
                await self._keep(key, line)
        writing.failures = 0
        writing.lines[chunk.ordinal] = line

    async def _kept(self, key: str) -> str | None:
        kept = select(chunk_contexts.c.context).where(chunk_contexts.c.hash == key)
        async with self._database.connect() as connection:
            return (await connection.execute(kept)).scalar_one_or_none()

    async def _keep(self, key: str, line: str) -> None:
        kept = insert(chunk_contexts).values(hash=key, context=line)
        kept = kept.on_conflict_do_update(index_elements=["hash"], set_={"at": func.now()})
        async with self._database.begin() as connection:
            await connection.execute(kept)


def _with(counter: Counter, chunk: Chunk, line: str, max_tokens: int) -> Chunk:
    """``chunk`` with as many words of ``line`` as fit, counted exactly."""
    words = line.split()
    while words:
        placed = replace(chunk, context=" ".join(words))
        tokens = counter.count(placed.searchable)
        if tokens <= max_tokens:
            return replace(placed, tokens=tokens)
        words = words[: len(words) * 3 // 4]
    return chunk


def _one_line(reply: str) -> str:
    """The first line that says something, without marks around it."""
    line = next((line for line in reply.splitlines() if line.strip()), "")
    return " ".join(line.replace("\x00", "").split()).strip("\"'*`# ")


def _notice(chunks: Sequence[Chunk], writing: _Writing) -> str | None:
    missing = sum(not chunk.context for chunk in chunks)
    if not missing:
        return None
    beyond = max(0, len(chunks) - MOST_LINES)
    reason = writing.reason or (
        f"a document gets at most {MOST_LINES}" if beyond else "the model had nothing to say of them"
    )
    return f"{missing} of {len(chunks)} passages have no line of context: {reason}"


def _hash(*shown: str) -> str:
    return hashlib.sha256("\x00".join(shown).encode()).hexdigest()
