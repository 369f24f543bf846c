"""What Anthropic's clients call."""

from __future__ import annotations

import msgspec

from causeway.gateway.anthropic_reply import MessageEvents, whole_message
from causeway.gateway.anthropic_wire import read_countable, read_messages
from causeway.gateway.exchange import Exchange, send_stream
from causeway.gateway.model_lists import anthropic_model, anthropic_models
from causeway.gateway.offer import Offer
from causeway.models.token_estimate import request_tokens
from causeway.settings import GatewaySettings
from causeway.storage.random_hex import random_hex


class AnthropicEndpoints:
    """Each method answers one exchange."""

    def __init__(self, offer: Offer, settings: GatewaySettings) -> None:
        self._offer = offer
        self._max_messages = settings.max_messages

    async def messages(self, exchange: Exchange) -> None:
        """``POST /v1/messages``."""
        asked = read_messages(exchange.body, max_messages=self._max_messages)
        message_id = f"msg_{random_hex()}"
        if asked.is_stream:
            writer = MessageEvents(message_id=message_id, model=asked.request.model)
            await send_stream(self._offer.stream(asked.request, exchange.call), writer, exchange.reply)
            return
        reply = await self._offer.complete(asked.request, exchange.call)
        body = whole_message(reply, message_id=message_id, model=asked.request.model)
        await exchange.reply.json(body, reply.headers, request_id=reply.trace_id)

    async def count_tokens(self, exchange: Exchange) -> None:
        """``POST /v1/messages/count_tokens``: an estimate, and marked as one; no model is asked."""
        request = read_countable(exchange.body, max_messages=self._max_messages)
        counted = {"input_tokens": request_tokens(request), "causeway": {"is_estimate": True}}
        await exchange.reply.json(msgspec.json.encode(counted), {"x-causeway-estimate": "true"})

    async def models(self, exchange: Exchange) -> None:
        """``GET /v1/models`` and ``GET /v1/models/NAME`` of a caller who sends ``anthropic-version``."""
        if exchange.name:
            await exchange.reply.json(anthropic_model(self._offer.require(exchange.name)))
        else:
            await exchange.reply.json(anthropic_models(self._offer.names))
