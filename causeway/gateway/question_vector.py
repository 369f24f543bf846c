"""The vector of a request's question, shared by the router and the cache: computed when first wanted, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from causeway.contracts.vectors import Vectors

Embed = Callable[[str], Awaitable[Vectors]]
"""A text to its vector: shape ``(dimensions,)``, float32, unit length."""


class QuestionVector:
    """One question.

    Args:
        text: The last message that the user wrote, masked as the rest of the request is.
        embed: Computes the vector.
        model: Which embedding model that is; vectors of different models are never compared.
    """

    def __init__(self, text: str, embed: Embed, *, model: str = "") -> None:
        self.text = text
        self.model = model
        self._embed = embed
        self._lock: asyncio.Lock | None = None
        self._vector: Vectors | None = None
        self._failure: Exception | None = None

    async def get(self) -> Vectors:
        """The vector; a failure to compute it is raised to every caller, and not tried again.

        Raises:
            CausewayError: The embedding model is unavailable or busy.
        """
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._vector is None:
                try:
                    self._vector = await self._embed(self.text)
                except Exception as exc:
                    self._failure = exc
                    raise
            return self._vector
