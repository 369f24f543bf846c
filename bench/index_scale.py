"""The search index as it grows: filtered vector search, the vector index's variants, keyword search on common words.

    python -m bench.index_scale [--vectors 15000] [--chunks 40000] > bench/results/index_scale.md

Synthetic data in a fresh embedded PostgreSQL, no model. The vectors lie in clusters, as those of texts do. The words
are those of Cranfield's sentences, mixed anew, so that common words are as common as in real text.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.machine import describe
from causeway.contracts.vectors import Vectors
from causeway.knowledge import Chunk
from causeway.knowledge.index.bm25_own import MOST_CANDIDATES, OwnKeywords
from causeway.knowledge.index.filters import EVERYTHING, Eq, Filter
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.index.stores import Match
from causeway.settings import DatabaseSettings
from causeway.storage.database import Database, open_database
from causeway.storage.schema import collections, documents

CRANFIELD = Path(__file__).parent.parent.parent / "shared" / "data" / "cranfield"
DIMENSIONS = 384
CHUNKS_A_DOCUMENT = 20
QUERIES = 100
DEPTH = 10
SHARES = {"all": 1.0, "half": 0.5, "5 %": 0.05, "1 %": 0.01}

Answer = Callable[[Vectors, Filter], Awaitable[Sequence[str]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vectors", type=int, default=15_000)
    parser.add_argument("--chunks", type=int, default=40_000)
    options = parser.parse_args()
    print(f"# The search index as it grows\n\nMade by `python -m bench.index_scale`.\n\n{describe()}\n")
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as folder:
        asyncio.run(measure(Path(folder), options.vectors, options.chunks))


async def measure(folder: Path, vectors: int, chunks: int) -> None:
    database = await open_database(DatabaseSettings(), folder / "vectors")
    try:
        await measure_vectors(database, vectors)
    finally:
        await database.close()
    database = await open_database(DatabaseSettings(bm25="extension"), folder / "words")
    try:
        await measure_words(database, chunks)
    finally:
        await database.close()


# --- vectors -------------------------------------------------------------------------------------------


async def measure_vectors(database: Database, count: int) -> None:
    random = np.random.default_rng(5)
    vectors, queries = clustered(random, count), clustered(random, QUERIES)
    index = PostgresIndex(database)
    await index.prepare()
    replace_ms = await fill(database, index, vectors)
    print(f"## Vectors: {count} of {DIMENSIONS} dimensions, {QUERIES} queries, the best {DEPTH}\n")
    middle, high = np.percentile(replace_ms, [50, 95])
    print(f"A document of {CHUNKS_A_DOCUMENT} chunks is replaced in {middle:.0f} ms (p95 {high:.0f}).\n")
    await measure_filters(database, index, queries)
    await measure_variants(database, index, queries)


def clustered(random: np.random.Generator, count: int) -> Vectors:
    centres = np.random.default_rng(1).normal(size=(200, DIMENSIONS))
    vectors = centres[random.integers(0, len(centres), count)] + random.normal(size=(count, DIMENSIONS))
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


async def fill(database: Database, index: PostgresIndex, vectors: Vectors) -> list[float]:
    """Documents of 20 chunks each, marked by the shares they belong to; how long each of the last 50 took to replace."""
    count = len(vectors) // CHUNKS_A_DOCUMENT
    await add_documents(database, count)
    replace_ms: list[float] = []
    for number in [*range(count), *range(count - 50, count)]:
        mine = vectors[number * CHUNKS_A_DOCUMENT : (number + 1) * CHUNKS_A_DOCUMENT]
        pieces = [Chunk(ordinal=n, heading="h", text="x", page=None, tokens=1) for n in range(len(mine))]
        started = time.perf_counter()
        done = await index.replace_document(
            f"doc_{number}", 1, pieces, mine, media_type="", title="", pages=None, blob="none"
        )
        assert done
        replace_ms.append((time.perf_counter() - started) * 1000)
    async with database.begin() as connection:
        await connection.execute(text("ANALYZE"))
    return replace_ms[count:]


async def add_documents(database: Database, count: int) -> None:
    rows = [
        {
            "id": f"doc_{number}",
            "collection_id": "col_scale",
            "source": "upload",
            "path": f"{number}",
            "title": "",
            "size_bytes": 1,
            "blob": "none",
            "modified_at": datetime(2026, 1, 1, tzinfo=UTC),
            "state": "processing",
            "metadata": {name: number % round(1 / share) == 0 for name, share in SHARES.items()},
        }
        for number in range(count)
    ]
    collection = {"id": "col_scale", "name": "scale", "embedding_model": "none", "dimensions": DIMENSIONS}
    async with database.begin() as connection:
        await connection.execute(insert(collections), [collection])
        await connection.execute(insert(documents), rows)


async def measure_filters(database: Database, index: PostgresIndex, queries: Vectors) -> None:
    # as in an index twenty times as large, where a filter of 5 % passes more than is compared exactly
    hurried = PostgresIndex(database, most_exact=300)

    async def ours(query: Vectors, where: Filter) -> Sequence[str]:
        return names(await index.dense(query, DEPTH, where))

    async def by_index(query: Vectors, where: Filter) -> Sequence[str]:
        return names(await hurried.dense(query, DEPTH, where))

    async def plain(query: Vectors, where: Filter) -> Sequence[str]:
        async with database.connect() as connection:
            return await plain_scan(connection, query, where)

    ways: dict[str, Answer] = {
        "plain HNSW scan": plain,
        "shipped": ours,
        "shipped, compared exactly up to 300 rows": by_index,
    }
    print(f"| recall@{DEPTH}, p50 ms | {' | '.join(SHARES)} |\n|---|{'---:|' * len(SHARES)}")
    truths = {name: await truth(index, queries, condition(name)) for name in SHARES}
    for way, answer in ways.items():
        cells = [await cell(answer, queries, condition(name), truths[name]) for name in SHARES]
        print(f"| {way} | {' | '.join(cells)} |")
    print("\nThe columns are the share of the documents that pass the filter.\n")


def condition(name: str) -> Filter:
    return EVERYTHING if name == "all" else Eq(name, True)


async def truth(index: PostgresIndex, queries: Vectors, where: Filter) -> list[set[str]]:
    return [set(names(await index.dense(query, DEPTH, where, exact=True))) for query in queries]


async def cell(answer: Answer, queries: Vectors, where: Filter, truths: Sequence[set[str]]) -> str:
    found, took_ms = [], []
    for query, right in zip(queries, truths, strict=True):
        started = time.perf_counter()
        found.append(len(right & set(await answer(query, where))) / len(right))
        took_ms.append((time.perf_counter() - started) * 1000)
    return f"{np.mean(found):.3f}, {np.median(took_ms):.0f}"


def names(matches: Sequence[Match]) -> list[str]:
    return [match.chunk_id for match in matches]


async def plain_scan(connection: AsyncConnection, query: Vectors, where: Filter) -> Sequence[str]:
    """What one writes first: filter, order by distance, limit; and the planner takes the HNSW index."""
    passing = ""
    if isinstance(where, Eq):
        passing = f"AND (documents.metadata ->> '{where.field}')::boolean"
    await connection.execute(text("SET LOCAL enable_sort = off"))
    rows = await connection.execute(
        text(
            f"SELECT chunks.id FROM chunks JOIN documents ON documents.id = chunks.document_id"
            f" WHERE vector_dims(embedding) = {DIMENSIONS} {passing}"
            f" ORDER BY embedding::halfvec({DIMENSIONS}) <=> :query LIMIT {DEPTH}"
        ),
        {"query": str(query.tolist())},
    )
    return [row.id for row in rows]


async def measure_variants(database: Database, index: PostgresIndex, queries: Vectors) -> None:
    """Which index: built over all vectors at once, searched without a filter."""
    truths = await truth(index, queries, EVERYTHING)
    variants = {
        "HNSW, vector": ("hnsw", "vector", "vector_cosine_ops"),
        "**HNSW, halfvec**": ("hnsw", "halfvec", "halfvec_cosine_ops"),
        "DiskANN (pgvectorscale)": ("diskann", "vector", "vector_cosine_ops"),
    }
    print(f"| | build s | MB | recall@{DEPTH}, p50 ms | at twice the effort |\n|---|---:|---:|---:|---:|")
    async with database.begin() as connection:
        await connection.execute(text("CREATE EXTENSION IF NOT EXISTS vectorscale"))
        await connection.execute(text(f"DROP INDEX chunks_embedding_{DIMENSIONS}"))
        await connection.execute(
            text(f"CREATE TABLE plain AS SELECT id, embedding::vector({DIMENSIONS}) AS embedding FROM chunks")
        )
    for name, (method, kind, operators) in variants.items():
        async with database.begin() as connection:
            await connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
            await connection.execute(text("SET LOCAL client_min_messages = warning"))
            column = "embedding" if kind == "vector" else f"(embedding::{kind}({DIMENSIONS}))"
            started = time.perf_counter()
            await connection.execute(
                text(f"CREATE INDEX tried ON plain USING {method} ({column} {operators})")
            )
            build_s = time.perf_counter() - started
            size = await connection.scalar(text("SELECT pg_relation_size('tried') / 1e6"))
        cells = [
            await cell(searcher(database, column, kind, effort), queries, EVERYTHING, truths)
            for effort in (100, 200)
        ]
        print(f"| {name} | {build_s:.1f} | {size:.0f} | {cells[0]} | {cells[1]} |")
        async with database.begin() as connection:
            await connection.execute(text("DROP INDEX tried"))
    print()


def searcher(database: Database, column: str, kind: str, effort: int) -> Answer:
    async def answer(query: Vectors, where: Filter) -> Sequence[str]:
        assert where == EVERYTHING
        async with database.connect() as connection:
            await connection.execute(text(f"SET LOCAL hnsw.ef_search = {effort}"))
            await connection.execute(text(f"SET LOCAL diskann.query_search_list_size = {effort}"))
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
            rows = await connection.execute(
                text(f"SELECT id FROM plain ORDER BY {column} <=> CAST(:query AS {kind}) LIMIT {DEPTH}"),
                {"query": str(query.tolist())},
            )
            return [row.id for row in rows]

    return answer


# --- words ---------------------------------------------------------------------------------------------


async def measure_words(database: Database, count: int) -> None:
    random = np.random.default_rng(9)
    texts = mixed(random, count)
    index = PostgresIndex(database)
    await index.prepare()
    async with database.begin() as connection:
        await add_chunks(connection, texts)
        await OwnKeywords().prepare(connection)
    async with database.begin() as connection:
        await connection.execute(text("ANALYZE"))
        sizes = await connection.execute(
            text(
                "SELECT pg_total_relation_size('chunk_keywords') / 1e6, pg_relation_size('chunks_bm25') / 1e6"
            )
        )
        own_mb, extension_mb = sizes.one()
    queries = [row["text"] for row in lines("queries.jsonl")][:QUERIES]
    exact = OwnKeywords(most_candidates=10 * count, most_counted=10 * count)
    shipped = OwnKeywords()
    truths = [names(await keyword(database, exact, query)) for query in queries]
    print(f"## Words: {count} chunks, {QUERIES} queries of Cranfield, the best 50\n")
    print(f"Every query matches tens of thousands of chunks; {MOST_CANDIDATES} are scored.\n")
    print(f"Own index {own_mb:.0f} MB, extension {extension_mb:.0f} MB.\n")
    print("| | p50 ms | p95 ms | of the exact best 10 | of the exact best 50 |\n|---|---:|---:|---:|---:|")
    for name, engine in (("own, exact", exact), ("**own, shipped**", shipped)):
        found, took_ms = [], []
        for query in queries:
            started = time.perf_counter()
            found.append(names(await keyword(database, engine, query)))
            took_ms.append((time.perf_counter() - started) * 1000)
        report(name, found, truths, took_ms)
    found, took_ms = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(names(await index.lexical(query, 50)))
        took_ms.append((time.perf_counter() - started) * 1000)
    report("pg_textsearch 1.0", found, truths, took_ms)


def mixed(random: np.random.Generator, count: int) -> list[str]:
    sentences = [
        sentence.strip() for row in lines("corpus.jsonl") for sentence in row["text"].split(" . ") if sentence
    ]
    picks = random.integers(0, len(sentences), (count, 8))
    names_ = random.integers(0, count, (count, 3))
    return [
        " . ".join(sentences[pick] for pick in row) + "".join(f" name{name}" for name in mine)
        for row, mine in zip(picks, names_, strict=True)
    ]


def lines(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (CRANFIELD / name).read_text(encoding="utf-8").splitlines()]


async def add_chunks(connection: AsyncConnection, texts: Sequence[str]) -> None:
    await connection.execute(
        text("INSERT INTO collections (id, name, embedding_model, dimensions) VALUES ('c', 'c', 'none', 3)")
    )
    await connection.execute(
        text(
            "INSERT INTO documents (id, collection_id, source, path, title, size_bytes, blob, modified_at, state)"
            " VALUES ('d', 'c', 'upload', 'd', '', 1, 'none', now(), 'ready')"
        )
    )
    await connection.execute(
        text(
            "INSERT INTO chunks (id, document_id, collection_id, ordinal, heading, text, tokens, embedding)"
            " SELECT 'chk_' || n, 'd', 'c', n, '', words, 1, '[1,0,0]' FROM unnest(CAST(:texts AS text[]))"
            " WITH ORDINALITY AS given (words, n)"
        ),
        {"texts": list(texts)},
    )


async def keyword(database: Database, engine: OwnKeywords, query: str) -> Sequence[Match]:
    async with database.connect() as connection:
        return await engine.search(connection, query, 50, EVERYTHING)


def report(
    name: str, found: Sequence[Sequence[str]], truths: Sequence[Sequence[str]], took_ms: Sequence[float]
) -> None:
    middle, high = np.percentile(took_ms, [50, 95])
    shares = [
        np.mean(
            [
                len(set(one[:depth]) & set(right[:depth])) / depth
                for one, right in zip(found, truths, strict=True)
            ]
        )
        for depth in (10, 50)
    ]
    print(f"| {name} | {middle:.0f} | {high:.0f} | {shares[0]:.0%} | {shares[1]:.0%} |")


if __name__ == "__main__":
    main()
