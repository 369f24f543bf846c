"""The embedder and the reranker, with their real models."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from causeway.contracts.vectors import EmbedRequest, RerankRequest
from causeway.errors import MissingModelFileError
from causeway.models.catalog import Catalog, ModelCard
from causeway.models.onnx_embedder import OnnxEmbedder, load_tokenizer
from causeway.models.onnx_reranker import OnnxReranker

Pulled = Callable[[str], tuple[ModelCard, Path]]
TEXTS = (
    "A down jacket keeps you warm in dry cold.",
    "Wash the tent by hand with lukewarm water.",
    "The invoice is due within thirty days.",
    "Which coat is best for winter?",
)


async def test_a_model_that_is_not_there_names_the_command(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(Catalog.load().get("bge-small-en"), tmp_path)
    with pytest.raises(MissingModelFileError, match="causeway models pull"):
        await embedder.embed(EmbedRequest(model="bge-small-en", texts=("a",)))
    await embedder.close()


@pytest.mark.slow
async def test_vectors_have_unit_length_and_mean_what_the_texts_mean(pulled: Pulled) -> None:
    card, folder = pulled("bge-small-en")
    embedder = OnnxEmbedder(card, folder)
    embeddings = await embedder.embed(EmbedRequest(model=card.id, texts=TEXTS))
    vectors = embeddings.vectors
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert int(np.argmax(vectors[:3] @ vectors[3])) == 0
    assert embeddings.usage.input_tokens == sum(len(load_tokenizer(folder).encode(text)) for text in TEXTS)
    await embedder.close()


@pytest.mark.slow
async def test_a_vector_hardly_depends_on_its_company(pulled: Pulled) -> None:
    card, folder = pulled("bge-small-en")
    embedder = OnnxEmbedder(card, folder)
    together = (await embedder.embed(EmbedRequest(model=card.id, texts=TEXTS))).vectors
    for text, vector in zip(TEXTS, together, strict=True):
        alone = (await embedder.embed(EmbedRequest(model=card.id, texts=(text,), kind="query"))).vectors[0]
        assert float(alone @ vector) > 0.99
    await embedder.close()


@pytest.mark.slow
async def test_a_text_beyond_the_window_is_cut_and_said_so(
    pulled: Pulled, caplog: pytest.LogCaptureFixture
) -> None:
    card, folder = pulled("bge-small-en")
    embedder = OnnxEmbedder(card, folder)
    with caplog.at_level(logging.WARNING):
        embeddings = await embedder.embed(EmbedRequest(model=card.id, texts=("word " * 900, "short")))
    assert embeddings.usage.input_tokens == 512 + 3
    assert [vars(record)["texts"] for record in caplog.records] == [1]
    await embedder.close()


@pytest.mark.slow
async def test_the_tokenizer_for_chunks_neither_cuts_nor_pads(pulled: Pulled) -> None:
    tokenizer = load_tokenizer(pulled("bge-small-en")[1])
    assert [len(tokenizer.encode(text)) for text in ("word " * 900, "short")] == [902, 3]


@pytest.mark.slow
async def test_the_passage_that_answers_scores_highest(pulled: Pulled) -> None:
    card, folder = pulled("reranker-en")
    reranker = OnnxReranker(card, folder)
    request = RerankRequest(model=card.id, query="How do I clean my tent?", texts=TEXTS)
    relevance = await reranker.rerank(request)
    assert int(np.argmax(relevance.scores)) == 1
    assert all(0 <= score <= 1 for score in relevance.scores)
    long = RerankRequest(model=card.id, query="why " * 300, texts=("because " * 300, ""))
    assert len((await reranker.rerank(long)).scores) == 2
    await reranker.close()
