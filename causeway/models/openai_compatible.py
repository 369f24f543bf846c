"""A client for any server that speaks OpenAI's ``/v1``: chat completions, embeddings, reranking, pictures, models.

Used for hosted providers and, through `causeway.models.local_chat`, for llama.cpp's server. Reranking, which OpenAI
lacks, is Cohere's and Jina's ``/rerank``, which vLLM and llama.cpp serve too. Retries and failover are the gateway's;
this file only says truthfully how a call ended.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest, ToolCallDelta, Usage
from causeway.contracts.clock import Clock, SystemClock
from causeway.contracts.images import ImageRequest, Images
from causeway.contracts.vectors import Embeddings, EmbedRequest, Relevance, RerankRequest
from causeway.errors import UpstreamError
from causeway.models.chat_completions import request_body
from causeway.models.completion_replies import Reading, read_reply
from causeway.models.http_connection import Answer
from causeway.models.http_failures import BrokenAnswerError, SilentServerError
from causeway.models.list_replies import read_pictures, read_scores, read_vectors
from causeway.models.model_listing import ModelListing
from causeway.models.provider import Model
from causeway.models.upstream import LONGEST_REPLY_BYTES, Upstream
from causeway.seams import deferred
from causeway.settings import ProviderSettings

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

_LONGEST_PICTURES_BYTES = 256 << 20
_TEXTS_PER_CALL = 256
_OPENAI_HOST = "api.openai.com"


class OpenAICompatible:
    """One server, over one pool of connections.

    Args:
        name: What the settings call this provider; ledgers and messages name it.
        settings: Address, keys, timeouts.
        clock: Measures how long keys rest and a listing is fresh.
        is_local: It listens on this machine's loopback: no proxy, and connections are not kept as long.

    Attributes:
        name: Which provider this is, for ledgers and traces.
    """

    def __init__(
        self, name: str, settings: ProviderSettings, *, clock: Clock | None = None, is_local: bool = False
    ) -> None:
        clock = clock or SystemClock()
        self.name = name
        self._base = settings.base_url.rstrip("/")
        self._settings = settings
        self._upstream = Upstream(name, settings, key_header=self._key_header, clock=clock, is_local=is_local)
        self._urls: dict[str, str] = {}
        self._listing = ModelListing(self._upstream, clock)

    @property
    def listed(self) -> frozenset[str]:
        """The models that the server listed when it was last asked."""
        return self._listing.names

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The whole reply, by one plain call.

        Raises:
            CausewayError: As `causeway.models.provider.ChatProvider` lists them.
        """
        body = request_body(request, is_stream=False, max_tokens_name=self._max_tokens_name(request.model))
        received = await self._upstream.post(
            self._url("chat/completions", request.model), body, request.model
        )
        return read_reply(received, request, provider=self.name)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The reply as it is written; closing the generator closes the connection, which stops the model.

        Raises:
            CausewayError: As `causeway.models.provider.ChatProvider` lists them.
        """
        body = request_body(request, is_stream=True, max_tokens_name=self._max_tokens_name(request.model))
        reading = Reading(self.name, request)
        url = self._url("chat/completions", request.model)
        async with self._upstream.stream(url, body, request.model) as answer:
            if answer.content_type != "text/event-stream":
                yield await self._unstreamed(answer, request)
                return
            try:
                while received := await answer.piece():
                    for chunk in reading.feed(received):
                        yield chunk
                    if reading.is_done:
                        break
            except (BrokenAnswerError, SilentServerError):
                if not reading.is_finished:
                    raise
            if not reading.is_finished:
                raise UpstreamError(
                    f"the provider '{self.name}' broke off in the middle of its reply; try again"
                )
        yield reading.last()

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """One unit vector a text, in order.

        Raises:
            CausewayError: As for `stream`.
        """
        parts: list[Embeddings] = []
        shortened = {} if request.dimensions is None else {"dimensions": request.dimensions}
        for start in range(0, len(request.texts), _TEXTS_PER_CALL):
            texts = request.texts[start : start + _TEXTS_PER_CALL]
            # Base64 is a quarter of the bytes and a tenth of the work; a server that ignores it sends numbers.
            body = {"model": request.model, "input": texts, "encoding_format": "base64", **shortened}
            received = await self._upstream.post(self._url("embeddings", request.model), body, request.model)
            parts.append(read_vectors(received, count=len(texts), model=request.model, provider=self.name))
        if len({part.vectors.shape[1] for part in parts}) > 1:
            raise UpstreamError(f"the provider '{self.name}' sent vectors of different lengths; try again")
        return Embeddings(
            vectors=np.concatenate([part.vectors for part in parts])
            if parts
            else np.zeros((0, 0), np.float32),
            model=parts[-1].model if parts else request.model,
            usage=sum((part.usage for part in parts), Usage()),
        )

    async def rerank(self, request: RerankRequest) -> Relevance:
        """One score in [0, 1] a text, in order.

        Raises:
            CausewayError: As for `stream`.
        """
        count = len(request.texts)
        body = {
            "model": request.model,
            "query": request.query,
            "documents": request.texts,
            "top_n": count,
        }
        received = await self._upstream.post(self._url("rerank", request.model), body, request.model)
        return read_scores(received, count=count, model=request.model, provider=self.name)

    async def draw(self, request: ImageRequest) -> Images:
        """``request.count`` pictures.

        Raises:
            CausewayError: As for `stream`.
        """
        body: dict[str, object] = {**request.options, "model": request.model, "prompt": request.prompt}
        body["n"] = request.count
        if request.size is not None:
            body["size"] = request.size
        url = self._url("images/generations", request.model)
        received = await self._upstream.post(url, body, request.model, most_bytes=_LONGEST_PICTURES_BYTES)
        return read_pictures(received, model=request.model, provider=self.name)

    async def list_models(self) -> tuple[Model, ...]:
        """The models that the server offers; asked again when the last answer is older than five minutes.

        Raises:
            CausewayError: As for `stream`.
        """
        return await self._listing.models(f"{self._base}/models")

    async def close(self) -> None:
        """Close every connection."""
        await self._upstream.close()

    def _key_header(self, key: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def _max_tokens_name(self, model: str) -> str:  # noqa: ARG002 - Azure's depends on it
        """OpenAI's own newer models refuse the old name, which is the only one that most other servers know."""
        return "max_completion_tokens" if _OPENAI_HOST in self._base else "max_tokens"

    def _url(self, path: str, model: str) -> str:  # noqa: ARG002 - Azure's depends on it
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = f"{self._base}/{path}"
        return url

    async def _unstreamed(self, answer: Answer, request: ChatRequest) -> ChatChunk:
        """The whole reply of a server that does not stream, as one chunk."""
        if answer.content_type != "application/json":
            raise UpstreamError(
                f"the provider '{self.name}' answered with {answer.content_type or 'nothing'} where a stream was"
                f" asked for; check providers.{self.name}.base_url"
            )
        whole = await self._upstream.read(answer, LONGEST_REPLY_BYTES)
        reply = read_reply(whole, request, provider=self.name)
        return ChatChunk(
            text=reply.text,
            reasoning=reply.reasoning,
            logprobs=reply.logprobs,
            tool_calls=tuple(
                ToolCallDelta(index, call.id, call.name, call.arguments)
                for index, call in enumerate(reply.tool_calls)
            ),
            stop_reason=reply.stop_reason,
            usage=reply.usage,
            model=reply.model,
            extensions=reply.extensions,
        )
