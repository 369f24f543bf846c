"""A `ModelGateway` without models: what it answers follows from the words alone, so tests can say what must come out."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from hashlib import blake2b

import numpy as np

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest, StopReason, Usage
from causeway.contracts.images import Image, ImageRequest, Images
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import Embeddings, EmbedRequest, Relevance, RerankRequest, Vectors
from causeway.errors import CausewayError

_WORD = re.compile(r"\w+")
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="


class FakeGateway:
    """Vectors are hashed bags of words, relevance is the share of the query's words, replies are given.

    Attributes:
        embed_error: Raised instead of embedding; so is ``rerank_error`` instead of reranking.
        requests: What was asked, in order.
    """

    def __init__(self, *, dimensions: int = 64, replies: Sequence[str] = ("A reply.",)) -> None:
        self._dimensions = dimensions
        self._replies = list(replies)
        self.embed_error: CausewayError | None = None
        self.rerank_error: CausewayError | None = None
        self.requests: list[ChatRequest | EmbedRequest | RerankRequest] = []

    async def complete(self, request: ChatRequest, call: Call) -> ChatReply:
        """The next of ``replies``; the last one again when there are no more."""
        pieces = [chunk async for chunk in self.stream(request, call)]
        text = "".join(piece.text for piece in pieces)
        return ChatReply(text=text, model=request.model, stop_reason=StopReason.END, usage=_usage(text))

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:  # noqa: ARG002
        """The next of ``replies``, word by word."""
        self.requests.append(request)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        for word in re.findall(r"\S+\s*", reply):
            yield ChatChunk(text=word, model=request.model)
        yield ChatChunk(stop_reason=StopReason.END, usage=_usage(reply), model=request.model)

    async def embed(self, request: EmbedRequest, call: Call) -> Embeddings:  # noqa: ARG002
        """A unit vector for each text: texts that share words are near."""
        self.requests.append(request)
        if self.embed_error is not None:
            raise self.embed_error
        vectors = bags_of_words(request.texts, self._dimensions)
        return Embeddings(vectors=vectors, model=request.model, usage=_usage(*request.texts))

    async def rerank(self, request: RerankRequest, call: Call) -> Relevance:  # noqa: ARG002
        """For each text the share of the query's words that it has."""
        self.requests.append(request)
        if self.rerank_error is not None:
            raise self.rerank_error
        asked = set(_words(request.query))
        scores = tuple(len(asked & set(_words(text))) / max(1, len(asked)) for text in request.texts)
        return Relevance(scores=scores, model=request.model, usage=_usage(request.query, *request.texts))

    async def draw(self, request: ImageRequest, call: Call) -> Images:  # noqa: ARG002
        """As many copies of a transparent pixel as are asked for."""
        image = Image(base64=_PIXEL)
        return Images(images=(image,) * request.count, model=request.model, usage=_usage(request.prompt))


def bags_of_words(texts: Sequence[str], dimensions: int) -> Vectors:
    """A unit vector for each text, made of its words; shape ``(len(texts), dimensions)``."""
    vectors = np.zeros((len(texts), dimensions), dtype=np.float32)
    for row, text in zip(vectors, texts, strict=True):
        for word in _words(text) or [""]:
            row[int.from_bytes(blake2b(word.encode(), digest_size=4).digest()) % dimensions] += 1
        row /= np.linalg.norm(row)
    return vectors


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _usage(*texts: str) -> Usage:
    return Usage(input_tokens=sum(len(_words(text)) for text in texts))
