"""What every `ChatProvider` must do; run it against a provider of your own.

The provider must have a model, named by ``model``, that answers anything with more than one word.
"""

from __future__ import annotations

from contextlib import aclosing

from causeway.contracts.chat import ChatRequest, Message, StopReason
from causeway.models.provider import ChatProvider, collect


async def check_chat_provider(provider: ChatProvider, model: str) -> None:
    """Run every check.

    Raises:
        AssertionError: The provider breaks the contract; the message says where.
    """
    await _streams_then_ends_once(provider, model)
    await _collects_what_it_streams(provider, model)
    await _completes_in_one_call(provider, model)
    await _stops_at_the_limit(provider, model)
    await _can_be_closed_early_and_used_again(provider, model)


def _request(model: str, *, max_tokens: int | None = 12) -> ChatRequest:
    question = Message("user", "Count slowly from one to twenty, please.")
    return ChatRequest(model=model, messages=(question,), max_tokens=max_tokens, temperature=0.0, seed=1)


async def _streams_then_ends_once(provider: ChatProvider, model: str) -> None:
    async with aclosing(provider.stream(_request(model))) as stream:
        chunks = [chunk async for chunk in stream]
    assert len(chunks) > 1, "a reply comes in several chunks"
    assert any(chunk.text for chunk in chunks), "a reply has text"
    ends = [at for at, chunk in enumerate(chunks) if chunk.stop_reason is not None]
    assert ends == [len(chunks) - 1], f"the last chunk alone has a stop reason, not {ends} of {len(chunks)}"
    usage = chunks[-1].usage
    assert usage is not None, "the last chunk has the usage"
    assert usage.input_tokens > 0 < usage.output_tokens, "the usage counts both ways"


async def _collects_what_it_streams(provider: ChatProvider, model: str) -> None:
    reply = await collect(provider.stream(_request(model)))
    assert reply.text.strip(), "a collected reply has text"
    assert reply.model != "", "a reply names its model"


async def _completes_in_one_call(provider: ChatProvider, model: str) -> None:
    reply = await provider.complete(_request(model))
    assert reply.text.strip(), "a whole reply has text"
    assert reply.model != "", "a whole reply names its model"
    assert reply.usage.input_tokens > 0 < reply.usage.output_tokens, "its usage counts both ways"
    cut = await provider.complete(_request(model, max_tokens=2))
    assert cut.stop_reason is StopReason.LENGTH, f"max_tokens ended a whole reply by {cut.stop_reason}"


async def _stops_at_the_limit(provider: ChatProvider, model: str) -> None:
    reply = await collect(provider.stream(_request(model, max_tokens=2)))
    assert reply.stop_reason is StopReason.LENGTH, f"max_tokens ended a reply by {reply.stop_reason}"
    assert reply.usage.output_tokens <= 3, f"max_tokens=2 brought {reply.usage.output_tokens} tokens"


async def _can_be_closed_early_and_used_again(provider: ChatProvider, model: str) -> None:
    async with aclosing(provider.stream(_request(model, max_tokens=None))) as stream:
        async for _ in stream:
            break
    reply = await collect(provider.stream(_request(model)))
    assert reply.text.strip(), "a provider answers after a stream was closed early"
