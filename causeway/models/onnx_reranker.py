"""Passages scored against a question on this machine: a cross-encoder in ONNX with one logit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.contracts.chat import Usage
from causeway.contracts.vectors import Relevance, RerankRequest
from causeway.models.batching import Batcher
from causeway.models.catalog import ModelCard
from causeway.models.cores import usable_cores
from causeway.models.onnx_model import Floats, OnnxModel
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
    import tokenizers
else:
    np = deferred("numpy")

_MAX_TOKENS = 192
_BUDGET_TOKENS = _MAX_TOKENS
"""A long passage goes alone: in pairs they take as long, and the last core to end keeps the others waiting for longer."""


class OnnxReranker:
    """A `RerankProvider`: passages come by the score, so each core takes a batch of its own (docs/adr/0027).

    Args:
        card: The model.
        folder: Its files, as `causeway.models.pull.pull` returned it.
        threads: 0 = every core.
        max_tokens: Question and passage are cut to this together; time grows with it.
    """

    def __init__(
        self, card: ModelCard, folder: Path, *, threads: int = 0, max_tokens: int = _MAX_TOKENS
    ) -> None:
        self._card = card
        self._model = OnnxModel(folder, max_tokens=min(max_tokens, card.context_tokens))
        self._batcher = Batcher(
            self._scores, budget_tokens=_BUDGET_TOKENS, name=card.id, lanes=threads or usable_cores()
        )

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        return "local"

    async def rerank(self, request: RerankRequest) -> Relevance:
        """The logistic of the model's logit for every text, in order.

        Raises:
            MissingModelFileError: The model is not on this machine.
            BusyError: Too many passages wait.
        """
        encodings = await asyncio.to_thread(self._model.encode, request.texts, query=request.query)
        scores = await self._batcher.run(encodings)
        return Relevance(
            scores=tuple(float(score) for score in scores.ravel()),
            model=self._card.id,
            usage=Usage(input_tokens=sum(len(encoding) for encoding in encodings)),
        )

    async def close(self) -> None:
        """End the thread."""
        await self._batcher.close()

    def _scores(self, encodings: Sequence[tokenizers.Encoding]) -> Floats:
        logits = self._model.run(encodings)[:, 0]
        return (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
