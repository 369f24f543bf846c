"""A model's yes or no to one question, and how sure it is of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from causeway.contracts.chat import ChatChunk, ChatRequest, Message
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.knowledge.answer.answerability import likeliest, log_odds_of_yes

_WORDS: Final = 4


async def ask_yes_or_no(
    gateway: ModelGateway,
    messages: tuple[Message, ...],
    call: Call,
    *,
    is_measured: bool,
    adapter: str = "",
    count: Callable[[ChatChunk], None],
) -> float:
    """Log-odds of yes, of messages that ask for yes or no.

    Args:
        gateway: To the alias ``chat``.
        messages: The last one asks.
        call: On whose behalf.
        is_measured: Read how sure the model is from its tokens' probabilities; otherwise its word counts as sure.
        adapter: Of a local model, which is to answer with it.
        count: Told every chunk, for what the call used.

    Raises:
        CausewayError: The model failed.
    """
    options = {"logprobs": True, "top_logprobs": 10} if is_measured else {}
    request = ChatRequest(
        model="chat",
        messages=messages,
        max_tokens=1 if is_measured else _WORDS,
        temperature=0.0,
        options={**options, "adapter": adapter} if adapter else options,
    )
    said = ""
    likely: dict[str, float] = {}
    async with aclosing(gateway.stream(request, call)) as chunks:
        async for chunk in chunks:
            count(chunk)
            likely = likely or likeliest(chunk.logprobs)
            said += chunk.text
    return log_odds_of_yes(said, likely)
