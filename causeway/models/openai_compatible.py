"""A client for any server that speaks OpenAI's ``/v1``: chat completions (streamed) and embeddings.

Used for hosted providers and, through `causeway.models.local_chat`, for llama.cpp's server. Retries and failover are
the gateway's; this file only says truthfully how a call ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import msgspec
import numpy as np

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest, Usage
from causeway.contracts.vectors import Embeddings, EmbedRequest, Vectors
from causeway.errors import CausewayError, DeadlineError, ModelUnavailableError, UpstreamError
from causeway.models.chat_completions import Reading, request_body
from causeway.models.provider import collect
from causeway.models.refusals import refusal
from causeway.settings import ProviderSettings

_CONNECT_TIMEOUT_S = 10.0
_DRAIN_TIMEOUT_S = 0.2
_KEEP_ALIVE_S = 30.0
_LOCAL_KEEP_ALIVE_S = 4.0  # llama.cpp's server closes after five: a request must not meet that
_LONGEST_REFUSAL_BYTES = 64 << 10
_TEXTS_PER_CALL = 256
_OPENAI_HOST = "api.openai.com"


class OpenAICompatible:
    """One server; chat and embeddings over one pool of connections.

    Args:
        name: What the settings call this provider; ledgers and messages name it.
        settings: Address, key, timeout.
        is_local: It listens on this machine's loopback: no proxy, and connections are not kept as long.
    """

    def __init__(self, name: str, settings: ProviderSettings, *, is_local: bool = False) -> None:
        self._name = name
        self._address = settings.base_url.rstrip("/")
        self._host = urlsplit(self._address).netloc or self._address
        self._settings = settings
        self._is_local = is_local
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        return self._name

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The whole reply."""
        return await collect(self.stream(request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The reply as it is written; closing the generator closes the connection, which stops the model.

        Raises:
            CausewayError: As `causeway.models.provider.ChatProvider` lists them.
        """
        # OpenAI's own newer models refuse the old name, which is the only one that most other servers know.
        limit = "max_completion_tokens" if self._host == _OPENAI_HOST else "max_tokens"
        body = request_body(request, max_tokens_name=limit)
        reading = Reading(self._name, request.model)
        async with self._answer("chat/completions", body, request.model) as answer:
            if answer.content_type != "text/event-stream":
                raise UpstreamError(
                    f"the provider '{self._name}' answered with {answer.content_type or 'nothing'} where a stream was"
                    f" asked for; check providers.{self._name}.base_url"
                )
            try:
                async for received in answer.content.iter_any():
                    for chunk in reading.feed(received):
                        yield chunk
                    if reading.is_done:
                        break
            except aiohttp.ClientPayloadError:
                if not reading.is_finished:
                    raise
            if not reading.is_finished:
                raise UpstreamError(
                    f"the provider '{self._name}' broke off in the middle of its reply; try again"
                )
            await _drain(answer)
        yield reading.last()

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """One unit vector a text, in order.

        Raises:
            CausewayError: As for `stream`.
        """
        vectors: list[Vectors] = []
        usage = Usage()
        model = request.model
        for start in range(0, len(request.texts), _TEXTS_PER_CALL):
            texts = request.texts[start : start + _TEXTS_PER_CALL]
            body = {"model": request.model, "input": texts, "encoding_format": "float"}
            async with self._answer("embeddings", body, request.model) as answer:
                listed = self._decoded(await answer.read())
            if sorted(item.index for item in listed.data) != list(range(len(texts))):
                raise UpstreamError(
                    f"the provider '{self._name}' sent {len(listed.data)} vectors for {len(texts)} texts"
                )
            ordered = sorted(listed.data, key=lambda item: item.index)
            vectors.append(np.array([item.embedding for item in ordered], dtype=np.float32))
            usage += Usage(input_tokens=listed.usage.prompt_tokens)
            model = listed.model or model
        joined = np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float32)
        lengths = np.linalg.norm(joined, axis=1, keepdims=True)
        return Embeddings(vectors=joined / np.maximum(lengths, 1e-12), model=model, usage=usage)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(
                total=None, connect=_CONNECT_TIMEOUT_S, sock_read=self._settings.timeout_s
            )
            key = self._settings.api_key.get_secret_value()
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                connector=aiohttp.TCPConnector(
                    keepalive_timeout=_LOCAL_KEEP_ALIVE_S if self._is_local else _KEEP_ALIVE_S
                ),
                trust_env=not self._is_local,
            )
        return self._session

    @asynccontextmanager
    async def _answer(self, path: str, body: object, model: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer, closed at the end; every failure in between as one of Causeway's errors."""
        try:
            answer = await self._open_session().post(
                f"{self._address}/{path}",
                data=msgspec.json.encode(body),
                headers={"Content-Type": "application/json"},
            )
            try:
                if answer.status != 200:
                    raise await self._refusal(answer, model)
                yield answer
            finally:
                answer.close()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as exc:
            raise ModelUnavailableError(
                f"the provider '{self._name}' cannot be reached at {self._host}; check that it runs and"
                f" providers.{self._name}.base_url"
            ) from exc
        except TimeoutError as exc:
            raise DeadlineError(
                f"the provider '{self._name}' was silent for {self._settings.timeout_s:.0f} s"
                f" (providers.{self._name}.timeout_s)"
            ) from exc
        except (aiohttp.ClientError, ConnectionError) as exc:
            raise UpstreamError(
                f"the connection to the provider '{self._name}' broke: {type(exc).__name__}; try again"
            ) from exc

    async def _refusal(self, answer: aiohttp.ClientResponse, model: str) -> CausewayError:
        return refusal(
            self._name,
            model,
            status=answer.status,
            retry_after=answer.headers.get("Retry-After"),
            body=await answer.content.read(_LONGEST_REFUSAL_BYTES),
        )

    def _decoded(self, body: bytes) -> _EmbeddingList:
        try:
            return msgspec.json.decode(body, type=_EmbeddingList)
        except msgspec.DecodeError as exc:
            raise UpstreamError(
                f"the provider '{self._name}' sent vectors that cannot be read: {exc}"
            ) from exc


class _Embedding(msgspec.Struct, frozen=True):
    index: int
    embedding: list[float]


class _EmbeddingUsage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0


class _EmbeddingList(msgspec.Struct, frozen=True):
    data: list[_Embedding]
    model: str | None = None
    usage: _EmbeddingUsage = _EmbeddingUsage()


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Read the end of an answer, so that its connection can be used again."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_DRAIN_TIMEOUT_S):
            while await answer.content.readany():
                pass
