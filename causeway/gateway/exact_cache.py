"""Replies under the key of their request: in this process, or where all processes see them.

In the process the least recently used make room when the bytes are spent. On a server (Redis) time and its own
``maxmemory`` bound them. Both keep the same bytes: a version, then the reply in MessagePack; what cannot be read is not there.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

import msgspec

from causeway.contracts.chat import ChatReply, StopReason, Usage
from causeway.contracts.clock import Clock
from causeway.contracts.money import Micros
from causeway.gateway.cache_key import VERSION
from causeway.storage.shared_state import SharedState

_ENTRY_OVERHEAD_BYTES = 300
"""What Python takes for a key, a tuple and a place in the dictionary."""


@dataclass(frozen=True, slots=True)
class KeptReply:
    """A reply, and when it was written (Unix time)."""

    reply: ChatReply
    kept_at: float


class ReplyStore(Protocol):
    """Bytes under keys, for a while."""

    async def get(self, key: str) -> bytes | None:
        """What is kept; None when there is nothing, or its time is over."""
        ...

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep it for ``ttl_s``."""
        ...


class LocalReplies:
    """A `ReplyStore` in this process: of all that fits into ``most_bytes``, the most recently used."""

    def __init__(self, *, most_bytes: int, clock: Clock) -> None:
        self._most_bytes = most_bytes
        self._clock = clock
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self.size_bytes = 0

    async def get(self, key: str) -> bytes | None:
        """What is kept; it counts as used now."""
        found = self._values.get(key)
        if found is None:
            return None
        ends_at, value = found
        if ends_at <= self._clock.monotonic():
            self._drop(key)
            return None
        self._values.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep it, and let go of what no longer fits; what alone is too large is not kept."""
        if key in self._values:
            self._drop(key)
        if _cost(key, value) > self._most_bytes:
            return
        self._values[key] = (self._clock.monotonic() + ttl_s, value)
        self.size_bytes += _cost(key, value)
        while self.size_bytes > self._most_bytes:
            self._drop(next(iter(self._values)))

    def _drop(self, key: str) -> None:
        _, value = self._values.pop(key)
        self.size_bytes -= _cost(key, value)


class SharedReplies:
    """A `ReplyStore` in the state that all processes share."""

    def __init__(self, state: SharedState) -> None:
        self._state = state

    async def get(self, key: str) -> bytes | None:
        """What any process has kept."""
        return await self._state.get(f"cache:reply:{key}")

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Keep it for all processes."""
        await self._state.put(f"cache:reply:{key}", value, ttl_s=ttl_s)


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """The wire form; fields are only ever added at the end, or the version rises."""

    version: int
    kept_at: float
    model: str
    text: str
    reasoning: str
    usage: tuple[int, int, int, int, bool]
    cost_micros: int


_decoder = msgspec.msgpack.Decoder(_Kept)


def encode(reply: ChatReply, kept_at: float) -> bytes:
    """``reply`` as it is kept: what its request decided, without headers and trace of the call that made it."""
    usage = reply.usage
    return msgspec.msgpack.encode(
        _Kept(
            version=VERSION,
            kept_at=kept_at,
            model=reply.model,
            text=reply.text,
            reasoning=reply.reasoning,
            usage=(
                usage.input_tokens,
                usage.output_tokens,
                usage.cached_input_tokens,
                usage.reasoning_tokens,
                usage.is_estimate,
            ),
            cost_micros=reply.cost_micros,
        )
    )


def decode(value: bytes) -> KeptReply | None:
    """What `encode` made; None when it is of another version or damaged."""
    try:
        kept = _decoder.decode(value)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    if kept.version != VERSION:
        return None
    reply = ChatReply(
        text=kept.text,
        reasoning=kept.reasoning,
        model=kept.model,
        stop_reason=StopReason.END,
        usage=Usage(*kept.usage),
        cost_micros=Micros(kept.cost_micros),
    )
    return KeptReply(reply, kept.kept_at)


def _cost(key: str, value: bytes) -> int:
    return len(key) + len(value) + _ENTRY_OVERHEAD_BYTES
