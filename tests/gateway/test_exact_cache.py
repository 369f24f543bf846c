from __future__ import annotations

from collections.abc import AsyncGenerator

from hypothesis import given
from hypothesis import strategies as st

from causeway.contracts.chat import ChatChunk, ChatReply, StopReason, Usage
from causeway.contracts.money import Micros
from causeway.gateway.exact_cache import LocalReplies, decode, encode
from causeway.gateway.replay import replay
from causeway.models.provider import collect
from causeway.testing.clock import FrozenClock

REPLY = ChatReply(
    text="Lima.",
    reasoning="Peru has one capital.",
    model="words",
    stop_reason=StopReason.END,
    usage=Usage(9, 2, 1, 1),
    cost_micros=Micros(12),
)


async def test_the_least_recently_used_makes_room() -> None:
    replies = LocalReplies(most_bytes=4000, clock=FrozenClock())
    for key in ("a", "b", "c"):
        await replies.put(key, b"x" * 1000, ttl_s=60)
    assert await replies.get("a") is not None
    await replies.put("d", b"x" * 1000, ttl_s=60)
    assert await replies.get("b") is None
    assert await replies.get("a") is not None
    assert await replies.get("d") is not None


async def test_a_reply_larger_than_the_cache_is_not_kept_and_evicts_nothing() -> None:
    replies = LocalReplies(most_bytes=2000, clock=FrozenClock())
    await replies.put("small", b"x", ttl_s=60)
    await replies.put("large", b"x" * 5000, ttl_s=60)
    assert await replies.get("large") is None
    assert await replies.get("small") == b"x"


async def test_a_larger_value_under_a_kept_key_is_gone_rather_than_stale() -> None:
    replies = LocalReplies(most_bytes=2000, clock=FrozenClock())
    await replies.put("key", b"old", ttl_s=60)
    await replies.put("key", b"x" * 5000, ttl_s=60)
    assert await replies.get("key") is None
    assert replies.size_bytes == 0


async def test_a_reply_is_gone_when_its_time_is_over() -> None:
    clock = FrozenClock()
    replies = LocalReplies(most_bytes=2000, clock=clock)
    await replies.put("key", b"x", ttl_s=60)
    clock.advance(59.9)
    assert await replies.get("key") == b"x"
    clock.advance(0.2)
    assert await replies.get("key") is None
    assert replies.size_bytes == 0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 1500)), max_size=40))
async def test_the_bytes_never_exceed_their_bound(puts: list[tuple[str, int]]) -> None:
    replies = LocalReplies(most_bytes=3000, clock=FrozenClock())
    for key, size in puts:
        await replies.put(key, b"x" * size, ttl_s=60)
        assert 0 <= replies.size_bytes <= 3000


def test_a_reply_comes_back_as_it_was() -> None:
    kept = decode(encode(REPLY, 100.0))
    assert kept is not None
    assert kept.reply == REPLY
    assert kept.kept_at == 100.0


def test_what_cannot_be_read_is_not_there() -> None:
    value = encode(REPLY, 100.0)
    assert decode(value[:-3]) is None
    assert decode(b"") is None
    assert decode(b"\x97\x63" + value[2:]) is None


@given(st.text(min_size=1, max_size=400), st.text(max_size=200))
async def test_a_replayed_stream_put_together_is_the_reply(text: str, reasoning: str) -> None:
    reply = ChatReply(
        text=text,
        reasoning=reasoning,
        model="words",
        stop_reason=StopReason.END,
        usage=Usage(9, 2),
        cost_micros=Micros(12),
    )

    async def stream() -> AsyncGenerator[ChatChunk, None]:
        for chunk in replay(reply):
            yield chunk

    assert await collect(stream()) == reply


def test_a_replayed_stream_comes_in_pieces_cut_between_words() -> None:
    reply = ChatReply(text="word " * 100, model="words", stop_reason=StopReason.END, usage=Usage(1, 100))
    chunks = list(replay(reply))
    assert all(len(chunk.text) <= 120 for chunk in chunks)
    assert 4 <= len(chunks) <= 8
    assert all(chunk.text.strip().endswith("word") for chunk in chunks[:-2])
    assert chunks[-1].stop_reason is StopReason.END
