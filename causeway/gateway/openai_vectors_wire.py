"""OpenAI's embeddings, and rerank in the shape of Cohere and Jina, which OpenAI lacks.

https://platform.openai.com/docs/api-reference/embeddings, https://docs.cohere.com/reference/rerank
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import msgspec

from causeway.contracts.vectors import Embeddings, EmbedRequest, Relevance, RerankRequest
from causeway.errors import InvalidInputError
from causeway.gateway.request_body import ModelName, read_as, read_object, require_few

_MOST_TEXTS = 2048  # OpenAI's bound
_MOST_DIMENSIONS = 65_536


class _EmbedBody(msgspec.Struct):
    model: ModelName
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=_MOST_DIMENSIONS)] | None = None
    input_type: Literal["query", "document", "passage", "search_query", "search_document"] = "document"


class EmbedCall(msgspec.Struct, frozen=True):
    """A parsed embeddings call."""

    request: EmbedRequest
    as_base64: bool


class _Document(msgspec.Struct):
    text: str


class _RerankBody(msgspec.Struct):
    model: ModelName
    query: str
    documents: list[str | _Document]
    top_n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    return_documents: bool | None = None


class RerankCall(msgspec.Struct, frozen=True):
    """A parsed rerank call."""

    request: RerankRequest
    top_n: int
    with_documents: bool


def read_embeddings(body: bytes) -> EmbedCall:
    """A ``/v1/embeddings`` body; ``input_type`` (``query`` or ``document``) is an addition of ours and of Cohere's.

    Raises:
        InvalidInputError: It is not JSON of that shape, has no text in it, or has tokens in place of text.
    """
    parsed = read_as(_EmbedBody, read_object(body))
    texts = [parsed.input] if isinstance(parsed.input, str) else parsed.input
    require_few("input", len(texts), _MOST_TEXTS)
    words = tuple([text for text in texts if isinstance(text, str)])
    if len(words) != len(texts):
        msg = "'input' has tokens, which mean something to one model alone; send the text itself"
        raise InvalidInputError(msg)
    if not all(words):
        msg = "'input' has an empty string; send text in each"
        raise InvalidInputError(msg)
    kind: Literal["query", "document"] = "query" if parsed.input_type.endswith("query") else "document"
    request = EmbedRequest(model=parsed.model, texts=words, kind=kind, dimensions=parsed.dimensions)
    return EmbedCall(request, as_base64=parsed.encoding_format == "base64")


def embedding_list(embeddings: Embeddings, call: EmbedCall) -> bytes:
    """An embeddings answer; base64 is of little-endian float32, as the official clients ask for.

    Raises:
        InvalidInputError: The model did not give vectors of the dimensions asked for.
    """
    asked, given = call.request.dimensions, embeddings.vectors.shape[1]
    if asked is not None and asked != given:
        raise InvalidInputError(
            f"'dimensions' is {asked} and '{embeddings.model}' gives {given}; leave it out or use another model"
        )
    rows = embeddings.vectors.astype("<f4", copy=False)
    return msgspec.json.encode(
        {
            "object": "list",
            "model": embeddings.model,
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": base64.b64encode(row.tobytes()).decode() if call.as_base64 else row.tolist(),
                }
                for index, row in enumerate(rows)
            ],
            "usage": {
                "prompt_tokens": embeddings.usage.input_tokens,
                "total_tokens": embeddings.usage.total_tokens,
            },
        }
    )


def read_rerank(body: bytes) -> RerankCall:
    """A ``/v1/rerank`` body.

    Raises:
        InvalidInputError: It is not JSON of that shape, or has no documents.
    """
    parsed = read_as(_RerankBody, read_object(body))
    require_few("documents", len(parsed.documents), _MOST_TEXTS)
    texts = tuple([each if isinstance(each, str) else each.text for each in parsed.documents])
    request = RerankRequest(model=parsed.model, query=parsed.query, texts=texts)
    top_n = len(texts) if parsed.top_n is None else parsed.top_n
    return RerankCall(request, top_n=top_n, with_documents=bool(parsed.return_documents))


def ranking(relevance: Relevance, call: RerankCall) -> bytes:
    """A rerank answer, best first."""
    order = sorted(enumerate(relevance.scores), key=lambda item: -item[1])[: call.top_n]
    results: list[dict[str, Any]] = [
        {
            "index": index,
            "relevance_score": score,
            **({"document": {"text": call.request.texts[index]}} if call.with_documents else {}),
        }
        for index, score in order
    ]
    usage = {"total_tokens": relevance.usage.total_tokens}
    return msgspec.json.encode({"model": relevance.model, "results": results, "usage": usage})
