from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from pydantic import SecretStr

from causeway.contracts.chat import ChatReply, ChatRequest, Message, StopReason, Usage
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.vectors import Vectors
from causeway.errors import BusyError, DeadlineError
from causeway.gateway import semantic_cache
from causeway.gateway.cache_key import VERSION
from causeway.gateway.question_vector import QuestionVector
from causeway.gateway.reply_cache import ReplyCache
from causeway.settings import RedisSettings, TierSettings
from causeway.storage.redis_state import RedisState
from causeway.testing.clock import FrozenClock
from causeway.testing.gateway import bags_of_words
from causeway.testing.shared_state_contract import Bench

ANNA = Principal("key_anna", "Anna", frozenset({Scope.MODELS}), team="red")
BERT = replace(ANNA, id="key_bert", team="blue")
EXACT = TierSettings(cache="exact")
SEMANTIC = TierSettings(cache="semantic", cache_similarity=0.5)
OFF = TierSettings(cache="off")
REPLY = ChatReply(
    text="Send it back.", model="words", stop_reason=StopReason.END, usage=Usage(9, 4), trace_id="t1"
)
BUSY = BusyError("too many texts wait")


class Shared(RedisState):
    """Values and logs that a test can reach into; ``error`` is raised instead of answering."""

    def __init__(self) -> None:
        super().__init__(RedisSettings(url=SecretStr("redis://127.0.0.1:1")), clock=FrozenClock())
        self.values: dict[str, bytes] = {}
        self.logs: dict[str, list[tuple[str, bytes]]] = {}
        self.pulled = 0
        self.error: DeadlineError | None = None

    async def get(self, key: str) -> bytes | None:
        self._fail()
        return self.values.get(key)

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        self._fail()
        self.values[key] = value

    async def append(self, key: str, value: bytes, *, ttl_s: float, most: int) -> None:
        log = self.logs.setdefault(key, [])
        log.append((f"{len(log):09}", value))

    async def entries(self, key: str, *, after: str = "") -> Sequence[tuple[str, bytes]]:
        found = [entry for entry in self.logs.get(key, []) if entry[0] > after]
        self.pulled += len(found)
        return found

    async def delete(self, key: str) -> None:
        self.values.pop(key, None)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


def ask(text: str, **changes: object) -> ChatRequest:
    request = ChatRequest(model="chat", messages=(Message("system", "Be brief."), Message("user", text)))
    return msgspec.structs.replace(request, **changes)  # fields by name, checked by the class


def vector(request: ChatRequest) -> QuestionVector:
    async def embed(text: str) -> Vectors:
        row: Vectors = bags_of_words([text], 256)[0]
        return row

    return QuestionVector(request.messages[-1].text, embed)


async def _never(text: str) -> Vectors:
    raise AssertionError(f"embedded '{text}'")


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def cache(clock: FrozenClock) -> ReplyCache:
    return ReplyCache(clock=clock, ttl_s=60, most_bytes=1_000_000)


async def _kept(
    cache: ReplyCache, text: str, tier: TierSettings = SEMANTIC, reply: ChatReply = REPLY
) -> bool:
    return await cache.keep(ask(text), ANNA, tier, reply, question=vector(ask(text)))


async def _text(cache: ReplyCache, text: str, tier: TierSettings = SEMANTIC) -> str | None:
    found = await cache.find(ask(text), ANNA, tier, question=vector(ask(text)))
    return found.reply.text if found else None


async def test_the_same_request_is_answered_without_embedding_it(
    cache: ReplyCache, clock: FrozenClock
) -> None:
    await _kept(cache, "How do I return an item?", EXACT)
    clock.advance(7)
    request = ask("How do I return an item?")
    found = await cache.find(request, ANNA, EXACT, question=QuestionVector("", _never))
    assert found is not None
    assert (found.kind, found.similarity, found.age_s) == ("exact", 1.0, 7.0)
    assert found.reply == msgspec.structs.replace(REPLY, trace_id=None)


async def test_an_exact_tier_neither_finds_nor_embeds_paraphrases(cache: ReplyCache) -> None:
    request = ask("How do I return an item?")
    question = QuestionVector("How do I return an item?", _never)
    assert await cache.keep(request, ANNA, EXACT, REPLY, question=question)
    assert await _text(cache, "How can I return an item?", EXACT) is None


async def test_a_paraphrase_is_answered_and_says_how_near_it_was(cache: ReplyCache) -> None:
    await _kept(cache, "How do I return an item?")
    request = ask("How can I return an item?")
    found = await cache.find(request, ANNA, SEMANTIC, question=vector(request))
    assert found is not None
    assert found.kind == "semantic"
    assert found.similarity == pytest.approx(5 / 6)
    assert found.reply.text == REPLY.text


async def test_a_near_question_that_asks_something_else_is_refused_with_the_reason(cache: ReplyCache) -> None:
    await _kept(cache, "How do I enable the alarm?")
    request = ask("How do I disable the alarm?")
    found = await cache.look_up(request, ANNA, SEMANTIC, question=vector(request))
    assert found.hit is None
    assert found.reason == "word: disable / enable"
    assert found.similarity == pytest.approx(5 / 6)


async def test_the_second_nearest_answers_when_the_nearest_may_not(cache: ReplyCache) -> None:
    await _kept(cache, "How do I return 2 items?", reply=msgspec.structs.replace(REPLY, text="two"))
    await _kept(cache, "How could one return 3 items?", reply=msgspec.structs.replace(REPLY, text="three"))
    assert await _text(cache, "How do I return 3 items?") == "three"


async def test_a_question_that_is_not_near_enough_is_not_compared(cache: ReplyCache) -> None:
    await _kept(cache, "How do I return an item?")
    strict = SEMANTIC.model_copy(update={"cache_similarity": 0.99})
    request = ask("How can I return an item?")
    found = await cache.look_up(request, ANNA, strict, question=vector(request))
    assert (found.hit, found.reason) == (None, "nothing near")


async def test_other_tenants_find_nothing(cache: ReplyCache) -> None:
    await _kept(cache, "How do I return an item?")
    for text in ("How do I return an item?", "How can I return an item?"):
        assert await cache.find(ask(text), BERT, SEMANTIC, question=vector(ask(text))) is None


async def test_a_paraphrase_after_another_conversation_is_another_question(cache: ReplyCache) -> None:
    await _kept(cache, "How do I return an item?")
    request = ask("How can I return an item?")
    after = msgspec.structs.replace(
        request, messages=(Message("user", "I bought a phone."), *request.messages)
    )
    assert await cache.find(after, ANNA, SEMANTIC, question=vector(after)) is None


async def test_hidden_values_keep_replies_apart(cache: ReplyCache) -> None:
    request = ask("Is [CARD_1] a valid card?")
    await cache.keep(request, ANNA, SEMANTIC, REPLY, question=vector(request), salt=b"4111")
    assert await cache.find(request, ANNA, SEMANTIC, question=vector(request), salt=b"5500") is None
    assert await cache.find(request, ANNA, SEMANTIC, question=vector(request), salt=b"4111") is not None


@pytest.mark.parametrize("tier", [EXACT, SEMANTIC])
async def test_a_reply_is_gone_when_its_time_is_over(
    cache: ReplyCache, clock: FrozenClock, tier: TierSettings
) -> None:
    await _kept(cache, "How do I return an item?", tier)
    clock.advance(61)
    assert await _text(cache, "How do I return an item?", tier) is None
    assert await _text(cache, "How can I return an item?", tier) is None


async def test_what_must_not_be_cached_is_neither_kept_nor_found(cache: ReplyCache) -> None:
    request = ask("How do I return an item?", temperature=0.9)
    assert not await cache.keep(request, ANNA, SEMANTIC, REPLY, question=QuestionVector("", _never))
    found = await cache.look_up(request, ANNA, SEMANTIC, question=QuestionVector("", _never))
    assert (found.hit, found.reason) == (None, "asks for randomness")


async def test_a_caller_who_wants_no_cache_gets_none_and_leaves_none(cache: ReplyCache) -> None:
    request = ask("How do I return an item?")
    assert not await cache.keep(request, ANNA, SEMANTIC, REPLY, question=vector(request), may_cache=False)
    await _kept(cache, "How do I return an item?")
    found = await cache.look_up(request, ANNA, SEMANTIC, question=vector(request), may_cache=False)
    assert (found.hit, found.reason) == (None, "not wanted")


async def test_a_tier_or_a_memory_of_nothing_turns_the_cache_off(
    cache: ReplyCache, clock: FrozenClock
) -> None:
    assert not await _kept(cache, "How do I return an item?", OFF)
    without = ReplyCache(clock=clock, ttl_s=60, most_bytes=0)
    assert not await _kept(without, "How do I return an item?")
    assert await _text(without, "How do I return an item?") is None


async def test_a_reply_that_was_cut_off_is_not_kept(cache: ReplyCache) -> None:
    assert not await _kept(
        cache, "How do I return an item?", reply=msgspec.structs.replace(REPLY, stop_reason=StopReason.LENGTH)
    )
    assert await _text(cache, "How do I return an item?") is None


async def test_a_long_text_is_found_again_but_never_compared(cache: ReplyCache) -> None:
    long = "How do I return an item? " * 40
    request = ask(long)
    await cache.keep(request, ANNA, SEMANTIC, REPLY, question=QuestionVector(long, _never))
    found = await cache.find(request, ANNA, SEMANTIC, question=QuestionVector(long, _never))
    assert found is not None
    near = ask(long + "Please.")
    assert await cache.find(near, ANNA, SEMANTIC, question=QuestionVector(long + "Please.", _never)) is None


async def test_without_an_embedding_the_call_goes_on(cache: ReplyCache) -> None:
    async def embed(text: str) -> Vectors:
        raise BUSY

    request = ask("How do I return an item?")
    found = await cache.look_up(request, ANNA, SEMANTIC, question=QuestionVector("How?", embed))
    assert (found.hit, found.reason) == (None, "failed: busy")
    assert not await cache.keep(request, ANNA, SEMANTIC, REPLY, question=QuestionVector("How?", embed))


async def test_two_processes_answer_with_each_others_replies(clock: FrozenClock, shared_state: Bench) -> None:
    one, other = (
        ReplyCache(clock=clock, ttl_s=60, most_bytes=1_000_000, shared=state)
        for state in (shared_state.state, shared_state.other)
    )
    await _kept(one, "How do I return an item?")
    assert await _text(other, "How do I return an item?") == REPLY.text
    assert await _text(other, "How can I return an item?") == REPLY.text


async def test_a_process_pulls_each_question_of_the_others_once(clock: FrozenClock) -> None:
    shared = Shared()
    one, other = (ReplyCache(clock=clock, ttl_s=60, most_bytes=1_000_000, shared=shared) for _ in range(2))
    await _kept(one, "How do I return an item?")
    assert await _text(other, "How do I return an item?") == REPLY.text
    assert await _text(other, "How can I return an item?") == REPLY.text
    await _kept(one, "How do I exchange an item?", reply=msgspec.structs.replace(REPLY, text="Swap it."))
    assert await _text(other, "How can I exchange an item?") == "Swap it."
    assert shared.pulled == 2


async def test_a_question_whose_reply_was_evicted_is_a_miss(clock: FrozenClock) -> None:
    shared = Shared()
    cache = ReplyCache(clock=clock, ttl_s=60, most_bytes=1_000_000, shared=shared)
    await _kept(cache, "How do I return an item?")
    shared.values.clear()
    request = ask("How can I return an item?")
    found = await cache.look_up(request, ANNA, SEMANTIC, question=vector(request))
    assert (found.hit, found.reason) == (None, "its reply is gone")


async def test_entries_of_another_version_are_ignored(clock: FrozenClock) -> None:
    shared = Shared()
    cache = ReplyCache(clock=clock, ttl_s=60, most_bytes=1_000_000, shared=shared)
    await _kept(cache, "How do I return an item?")
    (key,) = shared.logs
    shared.logs[key] = [(position, _of_another_version(value)) for position, value in shared.logs[key]]
    shared.logs[key].append(("999999999", b"damaged"))
    assert await _text(cache, "How can I return an item?") is None


async def test_a_failing_store_is_a_miss(clock: FrozenClock) -> None:
    shared = Shared()
    cache = ReplyCache(clock=clock, ttl_s=60, most_bytes=1_000_000, shared=shared)
    shared.error = DeadlineError("Redis did not answer within 2 s")
    assert not await _kept(cache, "How do I return an item?")
    request = ask("How do I return an item?")
    found = await cache.look_up(request, ANNA, SEMANTIC, question=vector(request))
    assert (found.hit, found.reason) == (None, "failed: deadline_exceeded")


async def test_a_partition_keeps_its_newest_questions(
    cache: ReplyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantic_cache, "MOST_QUESTIONS", 20)
    for number in range(25):
        await _kept(
            cache, f"How do I return item {number}?", reply=msgspec.structs.replace(REPLY, text=str(number))
        )
    assert await _text(cache, "How can I return item 24?") == "24"
    assert await _text(cache, "How can I return item 5?") == "5"
    assert await _text(cache, "How can I return item 4?") is None


async def test_the_partitions_used_least_make_room(clock: FrozenClock) -> None:
    cache = ReplyCache(clock=clock, ttl_s=60, most_bytes=400_000)
    first = ask("How do I return an item?", model="first")
    await cache.keep(first, ANNA, SEMANTIC, REPLY, question=vector(first))
    for number in range(10):
        request = ask("How do I return an item?", model=f"model-{number}")
        await cache.keep(request, ANNA, SEMANTIC, REPLY, question=vector(request))
    gone = ask("How can I return an item?", model="first")
    assert await cache.find(gone, ANNA, SEMANTIC, question=vector(gone)) is None
    kept = ask("How can I return an item?", model="model-9")
    assert await cache.find(kept, ANNA, SEMANTIC, question=vector(kept)) is not None


async def test_vectors_of_another_length_are_never_compared(clock: FrozenClock) -> None:
    cache = ReplyCache(clock=clock, ttl_s=60, most_bytes=1_000_000)
    await _kept(cache, "How do I return an item?")

    async def shorter(text: str) -> Vectors:
        return np.full(4, 0.5, np.float32)

    request = ask("How can I return an item?")
    question = QuestionVector("How can I return an item?", shorter)
    assert await cache.find(request, ANNA, SEMANTIC, question=question) is None


def _of_another_version(value: bytes) -> bytes:
    fields = msgspec.msgpack.decode(value)
    return msgspec.msgpack.encode([VERSION + 1, *fields[1:]])
