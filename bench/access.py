"""What access rules cost a search, and what they leave of its recall.

    python -m bench.access [--documents 4000] > bench/results/access.md

Synthetic vectors in clusters and words of Cranfield's sentences mixed anew, in a fresh embedded PostgreSQL, no model. A
viewer sees a share of the documents by a group of their own. Three ways to read: without walls (who sees everything), with
the predicate in the SQL alone, and with row-level security behind it, as for every bounded caller.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.index_scale import CRANFIELD, DIMENSIONS, clustered
from bench.machine import describe
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.vectors import Vectors
from causeway.knowledge import Chunk
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.sight import Sight
from causeway.settings import DatabaseSettings
from causeway.storage.database import Database, open_database
from causeway.storage.schema import collections, documents

CHUNKS_A_DOCUMENT = 5
QUERIES = 60
DEPTH = 10
SHARES = {"all": 1, "half": 2, "5 %": 20, "1 %": 100}
"""Every so many documents are seen."""


class PredicateAlone(Sight):
    """The first wall without the second."""

    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection whose role nothing binds."""
        return self._database.connect()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=4_000)
    options = parser.parse_args()
    print(f"# What access rules cost\n\nMade by `python -m bench.access`.\n\n{describe()}\n")
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as folder:
        asyncio.run(measure(Path(folder), options.documents))


async def measure(folder: Path, count: int) -> None:
    database = await open_database(DatabaseSettings(bm25="own"), folder)
    try:
        random = np.random.default_rng(7)
        vectors, queries = clustered(random, count * CHUNKS_A_DOCUMENT), clustered(random, QUERIES)
        sentences = mixed_sentences(random, count * CHUNKS_A_DOCUMENT + QUERIES)
        index = PostgresIndex(database)
        await index.prepare()
        await fill(database, index, vectors, sentences)
        asked = [" ".join(sentence.split()[:8]) for sentence in sentences[-QUERIES:]]
        print(f"{count} documents, {len(vectors)} chunks of {DIMENSIONS} dimensions, {QUERIES} queries.\n")
        await measure_recall(database, vectors, queries)
        await measure_cost(database, queries, asked)
    finally:
        await database.close()


def mixed_sentences(random: np.random.Generator, count: int) -> list[str]:
    corpus = (CRANFIELD / "corpus.jsonl").read_text(encoding="utf-8")
    words = np.array([word for word in corpus.split() if word.isalpha()])
    return [" ".join(random.choice(words, 60)) for _ in range(count)]


async def fill(database: Database, index: PostgresIndex, vectors: Vectors, sentences: Sequence[str]) -> None:
    count = len(vectors) // CHUNKS_A_DOCUMENT
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
            "own_readers": [f"group:{name}" for name, every in SHARES.items() if number % every == 0],
        }
        for number in range(count)
    ]
    collection = {"id": "col_scale", "name": "scale", "embedding_model": "none", "dimensions": DIMENSIONS}
    async with database.begin() as connection:
        await connection.execute(insert(collections), [collection])
        await connection.execute(insert(documents), rows)
    for number in range(count):
        mine = slice(number * CHUNKS_A_DOCUMENT, (number + 1) * CHUNKS_A_DOCUMENT)
        pieces = [
            Chunk(ordinal=n, heading="h", text=sentence, page=None, tokens=60)
            for n, sentence in enumerate(sentences[mine])
        ]
        done = await index.replace_document(
            f"doc_{number}", 1, pieces, vectors[mine], media_type="", title="", pages=None, blob="none"
        )
        assert done
    async with database.begin() as connection:
        await connection.execute(text("ANALYZE"))


def seen(database: Database, share: str, *, walls: int, most_exact: int | None = None) -> PostgresIndex:
    """The index as a viewer of a share sees it, behind one wall or both."""
    index = PostgresIndex(database) if most_exact is None else PostgresIndex(database, most_exact=most_exact)
    names = frozenset({f"group:{share}", "user:usr_bench", "everyone"})
    viewer = Principal(
        id="usr_bench", name="bench", scopes=frozenset({Scope.ASK}), user="usr_bench", sees_as=names
    )
    bound = index.seen_by(viewer)
    if walls == 1:
        bound._sight = PredicateAlone(database, names)
    return bound


async def measure_recall(database: Database, vectors: Vectors, queries: Vectors) -> None:
    """Against a comparison with every chunk that is seen, in numpy.

    "As it is" compares few seen chunks exactly; "by the index" makes the scan do it, as when so many are seen.
    """
    print(f"## Recall@{DEPTH} of vector search behind both walls\n")
    print("| seen | as it is | by the index |\n|---|---|---|")
    for share, every in SHARES.items():
        is_seen = (np.arange(len(vectors)) // CHUNKS_A_DOCUMENT) % every == 0
        allowed = np.flatnonzero(is_seen)
        best = np.argsort(-(queries @ vectors[allowed].T), axis=1)[:, :DEPTH]
        cells = []
        for most_exact in (None, 10):
            index = seen(database, share, walls=2, most_exact=most_exact)
            found = [await index.dense(query, DEPTH) for query in queries]
            hits = [
                len({match.chunk_id for match in matches} & {_name(allowed[n]) for n in wanted})
                for matches, wanted in zip(found, best, strict=True)
            ]
            cells.append(f"{sum(hits) / (DEPTH * len(queries)):.3f}")
        print(f"| {share} | {' | '.join(cells)} |", flush=True)


def _name(row: int) -> str:
    return f"chk_{row // CHUNKS_A_DOCUMENT}_1_{row % CHUNKS_A_DOCUMENT}"


async def measure_cost(database: Database, queries: Vectors, asked: Sequence[str]) -> None:
    print("\n## Milliseconds a call, p50 and p95\n")
    print(
        "| seen | read | without walls | predicate | predicate and row-level security |\n|---|---|---|---|---|"
    )
    for share in SHARES:
        ways = (PostgresIndex(database), seen(database, share, walls=1), seen(database, share, walls=2))
        ids = [match.chunk_id for match in await ways[2].dense(queries[0], 50)]
        for name in ("vectors", "words", "50 chunks by id"):
            cells = [await _timed(_reading(index, name, queries, asked, ids)) for index in ways]
            print(f"| {share} | {name} | {' | '.join(cells)} |", flush=True)


def _reading(
    index: PostgresIndex, name: str, queries: Vectors, asked: Sequence[str], ids: Sequence[str]
) -> Callable[[int], Awaitable[object]]:
    match name:
        case "vectors":
            return lambda number: index.dense(queries[number], 50)
        case "words":
            return lambda number: index.lexical(asked[number], 50)
        case _:
            return lambda _: index.get(ids)


async def _timed(call: Callable[[int], Awaitable[object]]) -> str:
    took = [ms async for ms in _times(call)][QUERIES // 6 :]
    middle, high = np.percentile(took, [50, 95])
    return f"{middle:.1f}, {high:.1f}"


async def _times(call: Callable[[int], Awaitable[object]]) -> AsyncIterator[float]:
    for number in range(QUERIES):
        started = time.perf_counter()
        await call(number)
        yield (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
