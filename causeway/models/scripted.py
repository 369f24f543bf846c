"""Replies from a table, vectors from hashed words, relevance from shared words: models for tests and demos.

Deterministic on every machine: no weights, no clock, no random number.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest, StopReason, Usage
from causeway.contracts.vectors import Embeddings, EmbedRequest, Relevance, RerankRequest, Vectors
from causeway.errors import CausewayError
from causeway.models.provider import collect
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

DIMENSIONS = 384
_WORD = re.compile(r"\w+")
_PIECE = re.compile(r"\s*\S+|\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the script.

    Attributes:
        when: A regular expression, searched in the last user message; letter case does not matter.
        say: The reply.
        pause_s: Before every word.
        fail: Raised after the reply, in place of its end.
    """

    when: str
    say: str
    pause_s: float = 0.0
    fail: CausewayError | None = None


class Scripted:
    """A `ChatProvider`, `EmbeddingProvider` and `RerankProvider`; it remembers what it was asked.

    Without a line that fits, a chat repeats the last user message.
    """

    def __init__(self, lines: Sequence[Line] = (), *, name: str = "scripted") -> None:
        self._lines = tuple(lines)
        self._name = name
        self.asked: list[ChatRequest] = []

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        return self._name

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The whole reply."""
        return await collect(self.stream(request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The reply, word by word; a word counts as a token."""
        self.asked.append(request)
        question = next((m.text for m in reversed(request.messages) if m.role == "user"), "")
        line = self._line(question)
        words = _PIECE.findall(line.say)
        written = words if request.max_tokens is None else words[: request.max_tokens]
        for word in written:
            await asyncio.sleep(line.pause_s)
            yield ChatChunk(text=word, model=request.model)
        if line.fail is not None:
            raise line.fail
        usage = Usage(
            input_tokens=sum(len(message.text.split()) for message in request.messages),
            output_tokens=len(written),
        )
        stop_reason = StopReason.END if written == words else StopReason.LENGTH
        yield ChatChunk(stop_reason=stop_reason, usage=usage, model=request.model)

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Texts that share words get similar vectors."""
        vectors = np.stack([_vector(text) for text in request.texts]) if request.texts else _none()
        return Embeddings(vectors=vectors, model=request.model, usage=_counted(request.texts))

    async def rerank(self, request: RerankRequest) -> Relevance:
        """The share of the query's words that a text has."""
        wanted = _words(request.query)
        scores = tuple(len(wanted & _words(text)) / max(1, len(wanted)) for text in request.texts)
        return Relevance(scores=scores, model=request.model, usage=_counted((request.query, *request.texts)))

    async def close(self) -> None:
        """Nothing to let go of."""

    def _line(self, question: str) -> Line:
        fitting = (line for line in self._lines if re.search(line.when, question, re.IGNORECASE))
        return next(fitting, Line(when="", say=question))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _counted(texts: Sequence[str]) -> Usage:
    return Usage(input_tokens=sum(len(text.split()) for text in texts))


def _none() -> Vectors:
    return np.zeros((0, DIMENSIONS), np.float32)


def _vector(text: str) -> Vectors:
    """Feature hashing (Weinberger et al. 2009): each word adds or subtracts one at a place its hash picks."""
    vector = np.zeros(DIMENSIONS, np.float32)
    for word in _WORD.findall(text.casefold()) or [""]:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        place = int.from_bytes(digest[:4], "little") % DIMENSIONS
        vector[place] += 1.0 if digest[4] & 1 else -1.0
    length = float(np.linalg.norm(vector))
    if length == 0.0:  # two words cancelled each other out
        vector[0] = length = 1.0
    return vector / np.float32(length)
