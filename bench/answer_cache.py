"""Remembers what search and models replied, so that a second run costs only what has changed.

A reply is kept under the hash of everything that was asked, in a folder; delete the folder to measure anew. A stream that is
remembered arrives at once, so times are only worth reading of a first run.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from causeway.contracts.chat import ChatChunk, ChatRequest
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.vectors import Relevance, RerankRequest
from causeway.knowledge.search.request import SearchRequest, SearchResult


class Replies:
    """Kept replies; without a folder, none are kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, *asked: object) -> Any:
        """The reply to what was asked; None when there is none yet."""
        file = self._file(asked)
        return pickle.loads(file.read_bytes()) if file and file.exists() else None

    def keep(self, reply: object, *asked: object) -> None:
        """Remember the reply to what was asked."""
        if file := self._file(asked):
            file.write_bytes(pickle.dumps(reply))

    def _file(self, asked: object) -> Path | None:
        name = hashlib.sha256(repr(asked).encode()).hexdigest()[:24]
        return self._folder / f"{name}.pickle" if self._folder else None


class RememberingSearch:
    """A search whose results are kept."""

    def __init__(self, search: Any, replies: Replies) -> None:
        self._search = search
        self._replies = replies

    async def search(self, request: SearchRequest, call: Call) -> SearchResult:
        """See `causeway.knowledge.search.search.Search.search`."""
        asked = (
            "search",
            request.query,
            request.top_k,
            *([] if request.rerank is None else [request.rerank]),
        )
        result: SearchResult | None = self._replies.get(*asked)
        if result is None:
            result = await self._search.search(request, call)
            self._replies.keep(result, *asked)
        return result


class RememberingGateway:
    """A gateway of which chats and relevance are kept."""

    def __init__(self, gateway: ModelGateway, replies: Replies) -> None:
        self._gateway = gateway
        self._replies = replies

    async def rerank(self, request: RerankRequest, call: Call) -> Relevance:
        """See `ModelGateway.rerank`."""
        asked = ("rerank", request.query, request.texts)
        result: Relevance | None = self._replies.get(*asked)
        if result is None:
            result = await self._gateway.rerank(request, call)
            self._replies.keep(result, *asked)
        return result

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        """See `ModelGateway.stream`."""
        asked = ("chat", request.messages, request.max_tokens, sorted(request.options))
        kept: list[ChatChunk] | None = self._replies.get(*asked)
        if kept is None:
            kept = []
            async with aclosing(self._gateway.stream(request, call)) as chunks:
                async for chunk in chunks:
                    kept.append(chunk)
                    yield chunk
            self._replies.keep(kept, *asked)
            return
        for chunk in kept:
            yield chunk
