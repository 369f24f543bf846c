"""What OpenAI's clients call."""

from __future__ import annotations

import msgspec

from causeway.contracts.clock import Clock
from causeway.gateway import openai_vectors_wire as vectors
from causeway.gateway.exchange import Exchange, send_stream
from causeway.gateway.model_lists import openai_model, openai_models
from causeway.gateway.offer import Offer
from causeway.gateway.openai_images_wire import image_list, read_images
from causeway.gateway.openai_reply import ChatEvents, chat_completion
from causeway.gateway.openai_wire import read_chat
from causeway.gateway.responses_reply import ResponseEvents, whole_response
from causeway.gateway.responses_wire import read_response
from causeway.settings import GatewaySettings
from causeway.storage.random_hex import random_hex


class OpenaiEndpoints:
    """Each method answers one exchange."""

    def __init__(self, offer: Offer, clock: Clock, settings: GatewaySettings) -> None:
        self._offer = offer
        self._clock = clock
        self._max_messages = settings.max_messages

    async def chat(self, exchange: Exchange) -> None:
        """``POST /v1/chat/completions``."""
        asked = read_chat(exchange.body, max_messages=self._max_messages)
        call = exchange.call if asked.may_cache else msgspec.structs.replace(exchange.call, may_cache=False)
        completion_id, created, model = f"chatcmpl-{random_hex()}", self._now(), asked.request.model
        if asked.is_stream:
            writer = ChatEvents(
                completion_id=completion_id,
                created=created,
                model=model,
                wants_usage=asked.wants_usage,
                is_legacy=asked.is_legacy,
            )
            await send_stream(self._offer.stream(asked.request, call), writer, exchange.reply)
            return
        reply = await self._offer.complete(asked.request, call)
        body = chat_completion(
            reply, completion_id=completion_id, created=created, model=model, is_legacy=asked.is_legacy
        )
        await exchange.reply.json(body, reply.headers, request_id=reply.trace_id)

    async def responses(self, exchange: Exchange) -> None:
        """``POST /v1/responses``."""
        asked = read_response(exchange.body, max_messages=self._max_messages)
        response_id, created = f"resp_{random_hex()}", self._now()
        if asked.is_stream:
            writer = ResponseEvents(asked, response_id=response_id, created=created)
            await send_stream(self._offer.stream(asked.request, exchange.call), writer, exchange.reply)
            return
        reply = await self._offer.complete(asked.request, exchange.call)
        body = whole_response(reply, asked, response_id=response_id, created=created)
        await exchange.reply.json(body, reply.headers, request_id=reply.trace_id)

    async def embeddings(self, exchange: Exchange) -> None:
        """``POST /v1/embeddings``."""
        asked = vectors.read_embeddings(exchange.body)
        embeddings = await self._offer.gateway.embed(asked.request, exchange.call)
        await exchange.reply.json(vectors.embedding_list(embeddings, asked), embeddings.headers)

    async def rerank(self, exchange: Exchange) -> None:
        """``POST /v1/rerank``."""
        asked = vectors.read_rerank(exchange.body)
        relevance = await self._offer.gateway.rerank(asked.request, exchange.call)
        await exchange.reply.json(vectors.ranking(relevance, asked), relevance.headers)

    async def images(self, exchange: Exchange) -> None:
        """``POST /v1/images/generations``."""
        images = await self._offer.gateway.draw(read_images(exchange.body), exchange.call)
        await exchange.reply.json(image_list(images, created=self._now()), images.headers)

    async def models(self, exchange: Exchange) -> None:
        """``GET /v1/models`` and ``GET /v1/models/NAME``; a name may have slashes."""
        if exchange.name:
            await exchange.reply.json(openai_model(self._offer.require(exchange.name)))
        else:
            await exchange.reply.json(openai_models(self._offer.names))

    def _now(self) -> int:
        return int(self._clock.now().timestamp())
