"""Answers a request with the reply to an earlier one: the same request's, or a paraphrase's.

The one object that the gateway holds. It decides by the request, the caller and the tier whether the cache may be used at
all (`causeway.gateway.cache_key`), looks for the very request (`exact_cache`), then for its question in other words
(`semantic_cache`). A cache that fails is a cache that knows nothing: the call goes on, and the log says why.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from causeway.contracts.chat import ChatReply, ChatRequest
from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.errors import CausewayError
from causeway.gateway import exact_cache
from causeway.gateway.cache_key import CacheKey, cache_key, is_worth_keeping, obstacle
from causeway.gateway.exact_cache import KeptReply, LocalReplies, ReplyStore, SharedReplies
from causeway.gateway.lexicon import packaged
from causeway.gateway.question_vector import QuestionVector
from causeway.gateway.semantic_cache import Near, SemanticCache
from causeway.settings import TierSettings
from causeway.storage.shared_state import SharedState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CachedReply:
    """A reply from the cache.

    Attributes:
        reply: With the usage and cost of the call that made it, which this one has saved.
        kind: ``exact`` for the same request, ``semantic`` for another with the same question in other words.
        similarity: Cosine of the two questions; 1 for the same request.
        age_s: How long ago it was written.
    """

    reply: ChatReply
    kind: Literal["exact", "semantic"]
    similarity: float
    age_s: float


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a search of the cache found, for traces.

    Attributes:
        hit: The reply to use.
        reason: Without a hit, why: ``off``, ``has tools``, ``nothing near``, ``word: enable / disable`` ...
        similarity: Of the nearest question that was compared.
    """

    hit: CachedReply | None
    reason: str = ""
    similarity: float | None = None


class ReplyCache:
    """The cache.

    Args:
        clock: For ages and ends.
        ttl_s: How long a reply may answer again.
        most_bytes: Memory in this process, three quarters for replies and one for questions; 0 turns the cache off.
        shared: Where replies and questions are kept for all processes; None keeps them in this one.
    """

    def __init__(
        self, *, clock: Clock, ttl_s: float, most_bytes: int, shared: SharedState | None = None
    ) -> None:
        self._clock = clock
        self._ttl_s = ttl_s
        self._is_on = most_bytes > 0
        questions_bytes = most_bytes // 4
        local = LocalReplies(most_bytes=most_bytes - questions_bytes, clock=clock)
        self._replies: ReplyStore = local if shared is None else SharedReplies(shared)
        self._questions = SemanticCache(
            lexicon=packaged, clock=clock, most_bytes=questions_bytes, shared=shared
        )

    async def find(
        self,
        request: ChatRequest,
        caller: Principal,
        tier: TierSettings,
        *,
        question: QuestionVector,
        may_cache: bool = True,
        salt: bytes = b"",
    ) -> CachedReply | None:
        """The reply to use in place of a call; see `look_up`."""
        found = await self.look_up(request, caller, tier, question=question, may_cache=may_cache, salt=salt)
        return found.hit

    async def look_up(
        self,
        request: ChatRequest,
        caller: Principal,
        tier: TierSettings,
        *,
        question: QuestionVector,
        may_cache: bool = True,
        salt: bytes = b"",
    ) -> Lookup:
        """The reply to use in place of a call, or why there is none. Nothing of the cache is ever raised.

        Args:
            request: As it would go to a provider: personal data masked.
            caller: Whose team, or else whose key, must have asked before.
            tier: Decides whether paraphrases count, and how near they have to be.
            question: The vector of the last message; only asked for when a paraphrase may be looked for.
            may_cache: False for a call that wants neither a stored reply nor its reply stored.
            salt: A digest of the values that masking has hidden; replies are not shared across different ones.
        """
        if (reason := self._closed(request, tier, may_cache=may_cache)) is not None:
            return Lookup(None, reason)
        key = cache_key(request, caller, salt=salt, embedding_model=question.model)
        try:
            if (kept := await self._kept(key.exact)) is not None:
                return Lookup(self._hit(kept, "exact", 1.0))
            if tier.cache != "semantic" or not self._is_comparable(key, question):
                return Lookup(None, "not asked before")
            return await self._paraphrase(key, question, tier.cache_similarity)
        except CausewayError as exc:
            log.warning("the cache could not be searched", extra={"code": exc.code})
            return Lookup(None, f"failed: {exc.code}")

    async def keep(
        self,
        request: ChatRequest,
        caller: Principal,
        tier: TierSettings,
        reply: ChatReply,
        *,
        question: QuestionVector,
        may_cache: bool = True,
        salt: bytes = b"",
    ) -> bool:
        """Keep ``reply`` for requests like this one; whether it was kept. The arguments are those of `look_up`.

        The reply is kept as it came from the provider, masked, so that each caller's own values are put back.
        """
        if self._closed(request, tier, may_cache=may_cache) is not None or not is_worth_keeping(reply):
            return False
        key = cache_key(request, caller, salt=salt, embedding_model=question.model)
        try:
            value = exact_cache.encode(reply, self._clock.now().timestamp())
            await self._replies.put(key.exact, value, ttl_s=self._ttl_s)
            if tier.cache == "semantic" and key.partition is not None and self._is_comparable(key, question):
                await self._questions.keep(
                    key.partition,
                    question.text,
                    await question.get(),
                    reply_key=key.exact,
                    ttl_s=self._ttl_s,
                )
        except CausewayError as exc:
            log.warning("a reply could not be kept in the cache", extra={"code": exc.code})
            return False
        return True

    def _closed(self, request: ChatRequest, tier: TierSettings, *, may_cache: bool) -> str | None:
        if not self._is_on or tier.cache == "off":
            return "off"
        return obstacle(request) if may_cache else "not wanted"

    def _is_comparable(self, key: CacheKey, question: QuestionVector) -> bool:
        return key.partition is not None and self._questions.can_compare(question.text)

    async def _paraphrase(self, key: CacheKey, question: QuestionVector, at_least: float) -> Lookup:
        if key.partition is None:
            return Lookup(None, "not a question")
        nearest: Near | None = None
        for near in await self._questions.find(
            key.partition, question.text, await question.get(), at_least=at_least
        ):
            nearest = nearest or near
            if near.difference is None and (kept := await self._kept(near.reply_key)) is not None:
                return Lookup(self._hit(kept, "semantic", near.similarity), similarity=near.similarity)
        if nearest is None:
            return Lookup(None, "nothing near")
        return Lookup(None, str(nearest.difference or "its reply is gone"), nearest.similarity)

    async def _kept(self, key: str) -> KeptReply | None:
        value = await self._replies.get(key)
        return None if value is None else exact_cache.decode(value)

    def _hit(self, kept: KeptReply, kind: Literal["exact", "semantic"], similarity: float) -> CachedReply:
        age_s = max(0.0, self._clock.now().timestamp() - kept.kept_at)
        return CachedReply(kept.reply, kind, similarity, age_s)
