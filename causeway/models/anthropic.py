"""A client of Anthropic's Messages API (https://platform.claude.com/docs/en/api/messages): chat, plain and streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest
from causeway.contracts.clock import Clock, SystemClock
from causeway.errors import UpstreamError
from causeway.models.anthropic_messages import request_body
from causeway.models.anthropic_replies import Reading, read_reply
from causeway.models.http_failures import BrokenAnswerError, SilentServerError
from causeway.models.model_listing import ModelListing
from causeway.models.provider import Model
from causeway.models.upstream import Upstream
from causeway.settings import ProviderSettings

ANTHROPIC_URL = "https://api.anthropic.com/v1"
_VERSION = "2023-06-01"
_MOST_MODELS = 1000
_USUAL_OUTPUT_TOKENS = 8192


class Anthropic:
    """Anthropic, or a server that speaks its protocol.

    Args:
        name: What the settings call this provider.
        settings: Address (empty is Anthropic's own, with or without ``/v1``), keys, timeouts.
        most_output: Most tokens that a model can write, None when not known: the protocol wants a limit in every call.
        clock: Measures how long keys rest and a listing is fresh.
    """

    def __init__(
        self,
        name: str,
        settings: ProviderSettings,
        *,
        most_output: Callable[[str], int | None] = lambda model: None,  # noqa: ARG005
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        root = (settings.base_url or ANTHROPIC_URL).rstrip("/").removesuffix("/v1")
        settings = settings.model_copy(update={"base_url": root})
        self._name = name
        self._most_output = most_output
        self._messages = f"{root}/v1/messages"
        self._models = f"{root}/v1/models?limit={_MOST_MODELS}"
        self._upstream = Upstream(
            name,
            settings,
            key_header=_key_header,
            headers={"anthropic-version": settings.api_version or _VERSION},
            clock=clock,
        )
        self._listing = ModelListing(self._upstream, clock)

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        return self._name

    @property
    def listed(self) -> frozenset[str]:
        """The models that the server listed when it was last asked."""
        return self._listing.names

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The whole reply, by one plain call.

        Raises:
            CausewayError: As `causeway.models.provider.ChatProvider` lists them.
        """
        received = await self._upstream.post(
            self._messages, self._body(request, is_stream=False), request.model
        )
        return read_reply(received, request, provider=self._name)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The reply as it is written; closing the generator closes the connection, which stops the model.

        Raises:
            CausewayError: As `causeway.models.provider.ChatProvider` lists them.
        """
        reading = Reading(self._name, request)
        body = self._body(request, is_stream=True)
        async with self._upstream.stream(self._messages, body, request.model) as answer:
            if answer.content_type != "text/event-stream":
                raise UpstreamError(
                    f"the provider '{self._name}' answered with {answer.content_type or 'nothing'} where a stream was"
                    f" asked for; check providers.{self._name}.base_url"
                )
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
                    f"the provider '{self._name}' broke off in the middle of its reply; try again"
                )
        yield reading.last()

    async def list_models(self) -> tuple[Model, ...]:
        """The models that the server offers; asked again when the last answer is older than five minutes.

        Raises:
            CausewayError: As for `stream`.
        """
        return await self._listing.models(self._models)

    async def close(self) -> None:
        """Close every connection."""
        await self._upstream.close()

    def _body(self, request: ChatRequest, *, is_stream: bool) -> dict[str, object]:
        limit = self._most_output(request.model) or _USUAL_OUTPUT_TOKENS
        return request_body(request, is_stream=is_stream, max_tokens=limit)


def _key_header(key: str) -> Mapping[str, str]:
    return {"x-api-key": key}
