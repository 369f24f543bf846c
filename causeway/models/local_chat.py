"""A chat model of this machine: llama.cpp's server in a child process, reached over the loopback.

A request may ask for one of the model's adapters by name, with the option ``adapter``; the weights are in memory once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from pydantic import SecretStr

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest
from causeway.errors import (
    BusyError,
    DeadlineError,
    InvalidInputError,
    ModelUnavailableError,
    UpstreamError,
)
from causeway.models.llama_process import LlamaEndpoint, LlamaProcess
from causeway.models.openai_compatible import OpenAICompatible
from causeway.models.provider import collect
from causeway.settings import ProviderSettings

_TRIES = 2
_MOST_CONNECTIONS = 16  # the child keeps as many threads for them; more would look like a dead child
_MOST_WAITING = 256
_SILENCE_S = 60.0  # the child sends a comment every ten seconds while it works


class LocalChat:
    """A `ChatProvider` over a `LlamaProcess`, which it owns.

    Args:
        process: The model.
        adapters: Names of its adapters, in the order in which the process has them.
    """

    def __init__(self, process: LlamaProcess, adapters: Sequence[str] = ()) -> None:
        self._process = process
        self._adapters = tuple(adapters)
        self._client: OpenAICompatible | None = None
        self._endpoint: LlamaEndpoint | None = None
        self._turns = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._waiting = 0

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        return "local"

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The whole reply, collected from a stream.

        A plain call would be silent until the last word, which a slow machine may need minutes for; in a stream the
        child's comments tell it from one that hangs.
        """
        return await collect(self.stream(request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The reply as it is written; the child is started when it does not run.

        A child that turns out to be gone before the first word is replaced once; its owner may have ended.

        Raises:
            CausewayError: As `causeway.models.provider.ChatProvider` lists them.
        """
        request = self._adapted(request)
        if self._turns.locked() and self._waiting >= _MOST_WAITING:
            raise BusyError(f"{self._waiting} chats wait for '{request.model}' already; try again later")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            async with aclosing(self._tried(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._turns.release()

    def _adapted(self, request: ChatRequest) -> ChatRequest:
        """The request in the child's words, which numbers adapters.

        Raises:
            InvalidInputError: The model has no such adapter.
        """
        if "adapter" not in request.options:
            return request
        options = dict(request.options)
        name = options.pop("adapter")
        if name not in self._adapters:
            has = f"it has {', '.join(self._adapters)}" if self._adapters else "it has none"
            raise InvalidInputError(f"the model '{request.model}' has no adapter '{name}'; {has}")
        options["lora"] = [{"id": self._adapters.index(name), "scale": 1.0}]
        options["cache_prompt"] = False  # what was read with it is no start for who comes without
        return msgspec.structs.replace(request, options=options)

    async def _tried(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        for left in reversed(range(_TRIES)):
            endpoint = await self._process.ready()
            has_begun = False
            try:
                async with aclosing((await self._reach(endpoint)).stream(request)) as chunks:
                    async for chunk in chunks:
                        has_begun = True
                        yield chunk
            except (ModelUnavailableError, UpstreamError, DeadlineError):
                await self._process.give_up(endpoint)
                if has_begun or not left:
                    raise
            else:
                return

    async def close(self) -> None:
        """Close the connections and stop the child, if this process started it."""
        if self._client is not None:
            await self._client.close()
        await self._process.close()

    async def _reach(self, endpoint: LlamaEndpoint) -> OpenAICompatible:
        if self._client is None or endpoint != self._endpoint:
            settings = ProviderSettings(
                base_url=f"{endpoint.address}/v1",
                api_key=SecretStr(endpoint.api_key),
                timeout_s=_SILENCE_S,
            )
            before, self._client = self._client, OpenAICompatible(self.name, settings, is_local=True)
            self._endpoint = endpoint
            if before is not None:
                await before.close()
        return self._client
