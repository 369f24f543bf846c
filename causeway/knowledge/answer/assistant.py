"""The knowledge base as a chat model: any OpenAI client asks it under the model name ``knowledge``.

``knowledge:handbook`` asks one collection. The last user message is the question, and what was said before it is what it
may lean on; the citations come with the last chunk, and in a whole reply beside its content, as ``citations``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from itertools import pairwise

from causeway.contracts.chat import ChatChunk, ChatRequest, Message, StopReason
from causeway.contracts.model_gateway import Call
from causeway.errors import InvalidInputError
from causeway.knowledge.answer.answer import Answerer, AskRequest
from causeway.knowledge.answer.events import Finished, TextDelta
from causeway.knowledge.answer.follow_up import Exchange

NAME = "knowledge"


class KnowledgeAssistant:
    """A `ChatAssistant` over an `Answerer`."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[ChatChunk, None]:
        """The answer as it is made; see `ChatAssistant.stream`."""
        questions = [message.text for message in request.messages if message.role == "user"]
        if not questions:
            raise InvalidInputError(f"'{NAME}' answers the last user message, and there is none; add one")
        asked = AskRequest(
            question=questions[-1],
            collection=request.model.partition(":")[2] or None,
            before=_exchanges(request.messages),
        )
        async with aclosing(self._answerer.ask(asked, call)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    yield ChatChunk(text=event.text, model=request.model)
                elif isinstance(event, Finished):
                    yield _last(event, request.model)


def _exchanges(messages: Sequence[Message]) -> tuple[Exchange, ...]:
    """Each user message with the reply that follows it; one without a reply is not a part of what was said."""
    return tuple(
        Exchange(asked.text, said.text)
        for asked, said in pairwise(messages)
        if asked.role == "user" and said.role == "assistant" and asked.text.strip()
    )


def _last(finished: Finished, model: str) -> ChatChunk:
    return ChatChunk(
        stop_reason=StopReason.END,
        usage=finished.usage,
        model=model,
        cost_micros=finished.cost_micros,
        trace_id=finished.trace_id,
        extensions={
            "citations": [asdict(cited) for cited in finished.citations],
            "refused": finished.refused,
        },
    )
