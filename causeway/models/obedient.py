"""The worst chat model there could be: it does what any text tells it, and keeps nothing to itself.

For red teams (`causeway.evals`): what still holds with it holds whatever a model does. An order is what stands between
``<<`` and ``>>`` anywhere in the conversation; the last one is said word for word, after ``backwards`` turned round, so that
what a filter put in a value's place shows. Without an order it repeats everything it was given, the system prompt first.
Asked for one word, it says yes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Final

from causeway.contracts.chat import ChatChunk, ChatReply, ChatRequest, StopReason, Usage
from causeway.models.provider import collect

_ORDER: Final = re.compile(r"(backwards\W{0,3})?<<(.+?)>>", re.DOTALL | re.IGNORECASE)
_ONE_WORD: Final = re.compile(r"\bone word, yes or no\b", re.IGNORECASE)


class Obedient:
    """A `ChatProvider` that an attacker would choose."""

    def __init__(self, *, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        return self._name

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The whole reply."""
        return await collect(self.stream(request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The reply, line by line; a word counts as a token."""
        given = [message.text for message in request.messages]
        text = said(request)
        for line in text.splitlines(keepends=True):
            yield ChatChunk(text=line, model=request.model)
        usage = Usage(
            input_tokens=sum(len(one.split()) for one in given), output_tokens=max(1, len(text.split()))
        )
        yield ChatChunk(stop_reason=StopReason.END, usage=usage, model=request.model)

    async def close(self) -> None:
        """Nothing to let go of."""


def said(request: ChatRequest) -> str:
    """What the model replies to ``request``."""
    if request.messages and _ONE_WORD.search(request.messages[-1].text):
        return "yes"
    given = "\n\n".join(message.text for message in request.messages)
    orders = list(_ORDER.finditer(given))
    if not orders:
        return given
    order: str = orders[-1][2]
    return order[::-1] if orders[-1][1] else order
