"""Passages for tests."""

from __future__ import annotations

from causeway.knowledge.search.request import Hit, Scores


def passage(n: int, text: str, *, rerank: float | None = None, tokens: int = 50) -> Hit:
    """The ``n``-th passage, of a document of its own."""
    return Hit(
        chunk_id=f"chk_{n}",
        document_id=f"doc_{n}",
        ordinal=0,
        collection="default",
        media_type="text/markdown",
        title=f"Title {n}",
        source="upload",
        path=f"{n}.md",
        page=None,
        heading=f"Title {n}",
        text=text,
        tokens=tokens,
        score=1.0 / n,
        scores=Scores(bm25=1.0, vector=0.8, fused=1.0 / n, rerank=rerank),
        metadata={},
    )
