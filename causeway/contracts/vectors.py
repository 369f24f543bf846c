"""Texts as vectors, and passages scored against a query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from causeway.contracts.chat import Usage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Vectors: TypeAlias = "npt.NDArray[np.float32]"
"""Shape ``(n, dimensions)``, float32, every row of unit length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """Texts to embed.

    Attributes:
        kind: Tells models that treat questions and passages differently which these are.
        dimensions: Numbers in each vector, for models that can shorten theirs; None leaves it to the model.
    """

    model: str
    texts: tuple[str, ...]
    kind: Literal["query", "document"] = "document"
    dimensions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """``vectors[i]`` belongs to ``texts[i]``. ``model`` is the model's own name; ``headers`` as of `ChatReply`."""

    vectors: Vectors
    model: str
    usage: Usage
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankRequest:
    """Passages to score against a query."""

    model: str
    query: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relevance:
    """``scores[i]`` says how well ``texts[i]`` answers the query: a probability-like number in [0, 1]."""

    scores: tuple[float, ...]
    model: str
    usage: Usage
    headers: Mapping[str, str] = field(default_factory=dict)
