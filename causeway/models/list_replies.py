"""OpenAI's answers that are lists: vectors, scores, pictures, models. JSON to contracts, each checked for being whole."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from causeway.contracts.chat import Usage
from causeway.contracts.images import Image, Images
from causeway.contracts.vectors import Embeddings, Relevance, Vectors
from causeway.errors import UpstreamError
from causeway.models.provider import Model
from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")

_Shape = TypeVar("_Shape")


class _Embedding(msgspec.Struct, frozen=True):
    index: int
    embedding: str | list[float]  # base64 of little-endian float32, as was asked for, or numbers all the same


class _Counted(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _EmbeddingList(msgspec.Struct, frozen=True):
    data: list[_Embedding]
    model: str | None = None
    usage: _Counted | None = None


class _Ranked(msgspec.Struct, frozen=True):
    index: int
    relevance_score: float


class _Ranking(msgspec.Struct, frozen=True):
    results: list[_Ranked]
    model: str | None = None
    usage: _Counted | None = None


class _Picture(msgspec.Struct, frozen=True):
    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


class _Pictures(msgspec.Struct, frozen=True):
    data: list[_Picture]
    usage: _Counted | None = None


class _Model(msgspec.Struct, frozen=True):
    id: str
    max_model_len: Any = None  # vLLM
    context_length: Any = None  # OpenRouter, LM Studio
    context_window: Any = None  # Groq
    max_input_tokens: Any = None  # Anthropic


class _ModelList(msgspec.Struct, frozen=True):
    data: list[_Model]


def read_vectors(body: bytes, *, count: int, model: str, provider: str) -> Embeddings:
    """``count`` vectors in order, scaled to unit length.

    Raises:
        UpstreamError: They cannot be read, or are not one for each text.
    """
    listed = _decoded(body, _EmbeddingList, "vectors", provider)
    if sorted(item.index for item in listed.data) != list(range(count)):
        raise UpstreamError(f"the provider '{provider}' sent {len(listed.data)} vectors for {count} texts")
    try:
        vectors = _matrix(sorted(listed.data, key=lambda item: item.index))
    except (binascii.Error, ValueError) as exc:
        raise UpstreamError(f"the provider '{provider}' sent vectors that cannot be read: {exc}") from exc
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(
        vectors=vectors / np.maximum(lengths, 1e-12),
        model=listed.model or model,
        usage=Usage(input_tokens=(listed.usage.prompt_tokens or 0) if listed.usage else 0),
    )


def read_scores(body: bytes, *, count: int, model: str, provider: str) -> Relevance:
    """``count`` scores in order; scores outside [0, 1] are taken for logits.

    Raises:
        UpstreamError: They cannot be read, or are not one for each text.
    """
    ranking = _decoded(body, _Ranking, "scores", provider)
    if sorted(result.index for result in ranking.results) != list(range(count)):
        raise UpstreamError(f"the provider '{provider}' sent {len(ranking.results)} scores for {count} texts")
    ordered = sorted(ranking.results, key=lambda result: result.index)
    scores = np.array([result.relevance_score for result in ordered])
    if count and (scores.min() < 0.0 or scores.max() > 1.0):
        scores = 1.0 / (1.0 + np.exp(-scores))
    counted = ranking.usage or _Counted()
    return Relevance(
        scores=tuple(scores.tolist()),
        model=ranking.model or model,
        usage=Usage(input_tokens=counted.total_tokens or counted.prompt_tokens or 0),
    )


def read_pictures(body: bytes, *, model: str, provider: str) -> Images:
    """The pictures, at least one.

    Raises:
        UpstreamError: They cannot be read, or one of them is missing.
    """
    listed = _decoded(body, _Pictures, "pictures", provider)
    if not listed.data or not all(picture.b64_json or picture.url for picture in listed.data):
        raise UpstreamError(f"the provider '{provider}' sent no pictures for '{model}'; try again")
    counted = listed.usage or _Counted()
    return Images(
        images=tuple(
            Image(base64=picture.b64_json, url=picture.url, revised_prompt=picture.revised_prompt)
            for picture in listed.data
        ),
        model=model,
        usage=Usage(counted.input_tokens or 0, counted.output_tokens or 0),
    )


def read_models(body: bytes, *, provider: str) -> tuple[Model, ...]:
    """The models, with their context windows where the server tells them.

    Raises:
        UpstreamError: They cannot be read.
    """
    listed = _decoded(body, _ModelList, "models", provider)
    return tuple(
        Model(
            name=model.id,
            context_tokens=_first_count(
                model.max_model_len, model.context_length, model.context_window, model.max_input_tokens
            ),
        )
        for model in listed.data
    )


def _decoded(body: bytes, shape: type[_Shape], what: str, provider: str) -> _Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except (ValueError, RecursionError) as exc:  # msgspec's own errors are ValueErrors, as bad UTF-8 is
        raise UpstreamError(f"the provider '{provider}' sent {what} that cannot be read: {exc}") from exc


def _matrix(items: Sequence[_Embedding]) -> Vectors:
    rows = [
        np.frombuffer(base64.b64decode(item.embedding, validate=True), "<f4")
        if isinstance(item.embedding, str)
        else np.array(item.embedding, dtype=np.float32)
        for item in items
    ]
    return np.stack(rows).astype(np.float32, copy=False)


def _first_count(*counts: object) -> int | None:
    return next((count for count in counts if isinstance(count, int) and count > 0), None)
