"""Texts to vectors on this machine: a BERT encoder in ONNX, the first token's state, at unit length.

Batches: `causeway.models.batching`; speed against a bare onnxruntime loop: ``bench/results/embedding.md``. The model
is quantized with scales that depend on the whole batch, so one text's vector differs a little with its company
(cosine 0.997 at worst).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.contracts.chat import Usage
from causeway.contracts.vectors import Embeddings, EmbedRequest, Vectors
from causeway.models.batching import Batcher
from causeway.models.catalog import ModelCard
from causeway.models.cores import usable_cores
from causeway.models.onnx_model import Floats, OnnxModel, load_tokenizer
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
    import tokenizers
else:
    np = deferred("numpy")

__all__ = ["OnnxEmbedder", "load_tokenizer"]

log = logging.getLogger(__name__)

_BUDGET_TOKENS = 512
"""About four chunks; larger batches are slower, since their activations leave the cache."""
_TEXTS_AT_ONCE = 512


class OnnxEmbedder:
    """An `EmbeddingProvider`.

    Questions have threads of their own, so that a search does not wait behind the chunks of a document. Every thread computes a
    batch on one core: for chunks a seventh faster than all cores for a batch, and for a question of 23 tokens 3.6 ms in place
    of the 4.2 that two cores take, which wait for each other at every layer and use 6 ms of them.

    Args:
        card: The model.
        folder: Its files, as `causeway.models.pull.pull` returned it.
        threads: 0 = every core.
    """

    def __init__(self, card: ModelCard, folder: Path, *, threads: int = 0) -> None:
        self._card = card
        self._model = OnnxModel(folder, max_tokens=card.context_tokens)
        lanes = threads or usable_cores()
        self._questions, self._documents = (
            Batcher(self._vectors, budget_tokens=_BUDGET_TOKENS, name=f"{card.id} {kind}", lanes=lanes)
            for kind in ("questions", "documents")
        )

    @property
    def name(self) -> str:
        """Which provider this is, for ledgers and traces."""
        return "local"

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """One unit vector a text, in order; a text is cut at the model's window.

        Raises:
            MissingModelFileError: The model is not on this machine.
            BusyError: Too many texts wait.
        """
        batcher = self._questions if request.kind == "query" else self._documents
        parts: list[Floats] = []
        tokens = cut = 0
        for start in range(0, len(request.texts), _TEXTS_AT_ONCE):
            texts = request.texts[start : start + _TEXTS_AT_ONCE]
            encodings = await asyncio.to_thread(self._model.encode, texts)
            tokens += sum(len(encoding) for encoding in encodings)
            cut += sum(bool(encoding.overflowing) for encoding in encodings)
            parts.append(await batcher.run(encodings))
        if cut:
            log.warning(
                "texts were cut at the embedding model's window",
                extra={"texts": cut, "of": len(request.texts), "tokens": self._card.context_tokens},
            )
        vectors = np.concatenate(parts) if parts else np.zeros((0, self._card.dimensions), np.float32)
        return Embeddings(vectors=vectors, model=self._card.id, usage=Usage(input_tokens=tokens))

    async def close(self) -> None:
        """End the threads."""
        await self._questions.close()
        await self._documents.close()

    def _vectors(self, encodings: Sequence[tokenizers.Encoding]) -> Vectors:
        first = self._model.run(encodings)[:, 0]
        unit: Vectors = first / np.linalg.norm(first, axis=1, keepdims=True)
        return unit
