"""Answers that go on from what was asked before, and are kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from causeway.contracts.model_gateway import Call
from causeway.knowledge.answer.answer import Answerer, AskRequest
from causeway.knowledge.answer.conversations import Conversations, new_id
from causeway.knowledge.answer.events import AnswerEvent, Finished, Retrieved
from causeway.knowledge.search.request import Hit


class ConversingAnswerer:
    """An `Answerer` with a memory: a question without a conversation begins one, whose id comes with the answer."""

    def __init__(self, answerer: Answerer, conversations: Conversations) -> None:
        self._answerer = answerer
        self._conversations = conversations

    async def ask(self, request: AskRequest, call: Call) -> AsyncGenerator[AnswerEvent, None]:
        """The answer as it is made, kept once it is whole; see `Answerer.ask`.

        Raises:
            NotFoundError: The conversation is another one's.
        """
        conversation_id = request.conversation_id or new_id()
        before = request.before or await self._conversations.before(conversation_id, call.principal)
        hits: tuple[Hit, ...] = ()
        asked = replace(request, conversation_id=conversation_id, before=before)
        async with aclosing(self._answerer.ask(asked, call)) as events:
            async for event in events:
                if isinstance(event, Retrieved):
                    hits = event.hits
                elif isinstance(event, Finished):
                    await self._conversations.keep(
                        conversation_id,
                        call.principal,
                        request.question.strip(),
                        event,
                        hits=hits,
                        collection=request.collection,
                    )
                yield event
