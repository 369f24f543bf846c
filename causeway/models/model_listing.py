"""Which models a server lists, asked for when the settings name none and remembered for a while."""

from __future__ import annotations

import asyncio

from causeway.contracts.clock import Clock
from causeway.models.list_replies import read_models
from causeway.models.provider import Model
from causeway.models.upstream import Upstream

_FRESH_S = 300.0
_LONGEST_LISTING_BYTES = 8 << 20


class ModelListing:
    """What one server lists; a listing that cannot be had again stays as it was."""

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock
        self._turn = asyncio.Lock()
        self._asked_at: float | None = None
        self._models: tuple[Model, ...] = ()
        self.names: frozenset[str] = frozenset()
        """The models of the last listing."""

    async def models(self, url: str) -> tuple[Model, ...]:
        """The models at ``url``, at most five minutes old.

        Raises:
            CausewayError: The server cannot be asked, or sends no list.
        """
        async with self._turn:
            now = self._clock.monotonic()
            if self._asked_at is None or now - self._asked_at >= _FRESH_S:
                body = await self._upstream.get(url, most_bytes=_LONGEST_LISTING_BYTES)
                self._models = read_models(body, provider=self._upstream.name)
                self.names = frozenset(model.name for model in self._models)
                self._asked_at = now
            return self._models
