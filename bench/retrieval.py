"""How well and how quickly search finds: Cranfield by every arm and fusion, known items, the sample company's questions.

    python -m bench.retrieval [--queries 225] > bench/results/retrieval.md

Runs the whole platform in a fresh data folder with the real models, which have to be pulled (``causeway models pull``).
Cranfield (1,400 abstracts, 225 queries) is read from ``../shared/data/cranfield`` beside the repository. nDCG is
trec_eval's: linear gain, and what is not judged is not relevant. Intervals are paired bootstraps over queries.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import delete, insert

from bench.machine import describe
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.knowledge import Chunk, SearchRequest
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.index.stores import Match
from causeway.knowledge.search.fusion import fuse
from causeway.settings import DatabaseSettings, KnowledgeSettings, Settings, StorageSettings, load
from causeway.storage.database import Database, open_database
from causeway.storage.schema import collections, documents
from causeway.wiring import Platform, Work, open_platform, sample_documents

ROOT = Path(__file__).parent.parent
CRANFIELD = ROOT.parent / "shared" / "data" / "cranfield"
QUESTIONS = ROOT / "samples" / "questions.jsonl"
DIMENSIONS = 384
CALL = Call(principal=SYSTEM, purpose="bench")
BOOTSTRAPS = 10_000
WARM_UP = 10
SHIPPED = f"**fused, fixed scales, {KnowledgeSettings().vector_weight} vectors**"
RERANKED = f"rerank {KnowledgeSettings().rerank_candidates}, weight {KnowledgeSettings().rerank_weight}"

Ranking = Sequence[str]
Scores = Mapping[str, float]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Query:
    text: str
    relevant: Mapping[str, int]


@dataclass(frozen=True)
class Found:
    """What the arms found for one query: paper -> score, 100 each, best first; and cosines of all candidates."""

    own: Scores
    extension: Scores
    vectors: Scores
    cosines: Scores


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--queries", type=int, default=225)
    options = parser.parse_args()
    print(f"# Retrieval\n\nMade by `python -m bench.retrieval`.\n\n{describe()}\n")
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as folder:
        asyncio.run(measure(Path(folder), options.queries))


async def measure(folder: Path, most_queries: int) -> None:
    storage = StorageSettings(dir=folder / "data", models_dir=load().storage.models_dir)
    settings = Settings(storage=storage)
    async with open_platform(settings, work=Work.MUST) as platform:
        await measure_cranfield(platform, folder, most_queries)
        async with platform.database.begin() as connection:
            await connection.execute(delete(collections))
        await measure_known_items(platform)
        async with platform.database.begin() as connection:
            await connection.execute(delete(collections))
        await measure_company(platform)


# --- Cranfield -----------------------------------------------------------------------------------------


async def measure_cranfield(platform: Platform, folder: Path, most_queries: int) -> None:
    papers, queries = read_cranfield(most_queries)
    index = PostgresIndex(platform.database)
    vectors = await embed(platform, [piece.searchable for piece in papers.values()], "document")
    await fill(platform.database, index, papers, vectors)
    database = await open_database(DatabaseSettings(bm25="extension"), folder / "extension")
    try:
        other = PostgresIndex(database)
        await fill(database, other, papers, vectors)
        asked = await embed(platform, [query.text for query in queries], "query")
        found = [
            await find(index, other, query, vector) for query, vector in zip(queries, asked, strict=True)
        ]
    finally:
        await database.close()
    rankings: dict[str, list[Ranking]] = {
        "BM25, own": [list(one.own) for one in found],
        "BM25, pg_textsearch 1.0": [list(one.extension) for one in found],
        "vectors": [list(one.vectors) for one in found],
        "fused, reciprocal ranks (10), equal weights": [by_ranks(one, 0.5) for one in found],
        "fused, reciprocal ranks (10), .7 vectors": [by_ranks(one, 0.7) for one in found],
        "fused, min-max, .6 vectors": [by_min_max(one, 0.6) for one in found],
        "fused, min-max, .7 vectors": [by_min_max(one, 0.7) for one in found],
        SHIPPED: [by_fixed_scales(one, KnowledgeSettings().vector_weight) for one in found],
    }
    took_ms: dict[str, list[float]] = {}
    for name, rerank in (
        ("search as shipped, without rerank", False),
        (f"search as shipped, {RERANKED}", True),
    ):
        rankings[name], took_ms[name] = await search_all(platform, [query.text for query in queries], rerank)
    report_quality(rankings, queries)
    report_weights(found, queries)
    report_latency("Cranfield, 1,400 chunks", took_ms)


def read_cranfield(most_queries: int) -> tuple[dict[str, Chunk], list[Query]]:
    relevant: dict[str, dict[str, int]] = {}
    for line in (CRANFIELD / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, paper, grade = line.split("\t")
        relevant.setdefault(query, {})[paper] = int(grade)
    papers = {
        row["_id"]: Chunk(ordinal=0, heading=row["title"], text=row["text"], page=None, tokens=1)
        for row in read_lines(CRANFIELD / "corpus.jsonl")
    }
    queries = [
        Query(row["text"], relevant[row["_id"]])
        for row in read_lines(CRANFIELD / "queries.jsonl")
        if row["_id"] in relevant
    ]
    return papers, queries[:most_queries]


def read_lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


async def embed(platform: Platform, texts: Sequence[str], kind: str) -> Vectors:
    request = EmbedRequest(model="embed", texts=tuple(texts), kind="query" if kind == "query" else "document")
    return (await platform.gateway.embed(request, CALL)).vectors


async def fill(
    database: Database, index: PostgresIndex, papers: Mapping[str, Chunk], vectors: Vectors
) -> None:
    await index.prepare()
    rows = [
        {
            "id": f"doc_{paper}",
            "collection_id": "col_cranfield",
            "source": "upload",
            "path": paper,
            "title": piece.heading,
            "size_bytes": 1,
            "blob": "none",
            "modified_at": datetime(2026, 1, 1, tzinfo=UTC),
            "state": "ready",
        }
        for paper, piece in papers.items()
    ]
    collection = {"id": "col_cranfield", "name": "cranfield", "embedding_model": "bge-small-en"}
    async with database.begin() as connection:
        await connection.execute(insert(collections), [{**collection, "dimensions": DIMENSIONS}])
        await connection.execute(insert(documents), rows)
    for (paper, piece), vector in zip(papers.items(), vectors, strict=True):
        done = await index.replace_document(
            f"doc_{paper}", 1, [piece], vector[None], media_type="", title="", pages=None, blob="none"
        )
        assert done


async def find(index: PostgresIndex, other: PostgresIndex, query: Query, vector: Vectors) -> Found:
    own, extension = await index.lexical(query.text, 100), await other.lexical(query.text, 100)
    nearest = await index.dense(vector, 100)
    cosines = await index.cosines([match.chunk_id for match in [*own, *nearest]], vector)
    return Found(
        own=by_paper(own),
        extension=by_paper(extension),
        vectors=by_paper(nearest),
        cosines={paper_of(chunk_id): cosine for chunk_id, cosine in cosines.items()},
    )


def by_paper(matches: Sequence[Match]) -> dict[str, float]:
    return {paper_of(match.chunk_id): match.score for match in matches}


def paper_of(chunk_id: str) -> str:
    return chunk_id.split("_")[1]


async def search_all(
    platform: Platform, texts: Sequence[str], rerank: bool
) -> tuple[list[Ranking], list[float]]:
    """What the product itself finds, and how many milliseconds each search takes."""
    rankings: list[Ranking] = []
    took_ms = []
    for text in [*texts[:WARM_UP], *texts]:
        started = time.perf_counter()
        result = await platform.search.search(SearchRequest(query=text, top_k=100, rerank=rerank), CALL)
        took_ms.append((time.perf_counter() - started) * 1000)
        assert not result.notes, result.notes
        rankings.append([hit.path for hit in result.hits])
    warm = min(WARM_UP, len(texts))
    return rankings[warm:], took_ms[warm:]


# --- fusions -------------------------------------------------------------------------------------------


def by_fixed_scales(found: Found, weight: float) -> Ranking:
    """As the product does."""
    papers = {*found.own, *found.vectors}
    cosines = {paper: cosine for paper, cosine in found.cosines.items() if paper in papers}
    return [one.chunk_id for one in fuse(cosines, found.own, vector_weight=weight)]


def by_min_max(found: Found, weight: float) -> Ranking:
    return ranked(stretched(found.vectors), stretched(found.own), weight)


def by_ranks(found: Found, weight: float) -> Ranking:
    """Cormack et al., Reciprocal rank fusion, SIGIR 2009; the constant 10 did better than their 60."""
    vectors, own = (
        {paper: 1 / (10 + rank) for rank, paper in enumerate(arm, start=1)}
        for arm in (found.vectors, found.own)
    )
    return ranked(vectors, own, weight)


def stretched(scores: Scores) -> Scores:
    least, most = min(scores.values()), max(scores.values())
    return {paper: (score - least) / ((most - least) or 1) for paper, score in scores.items()}


def ranked(vectors: Scores, own: Scores, weight: float) -> Ranking:
    scores = {
        paper: weight * vectors.get(paper, 0) + (1 - weight) * own.get(paper, 0) for paper in {*vectors, *own}
    }
    return sorted(scores, key=lambda paper: (-scores[paper], paper))


# --- numbers -------------------------------------------------------------------------------------------


def ndcg(ranking: Ranking, relevant: Mapping[str, int], depth: int = 10) -> float:
    gains = [relevant.get(paper, 0) for paper in ranking[:depth]]
    ideal = sorted(relevant.values(), reverse=True)[:depth]
    best = sum(gain / np.log2(rank + 2) for rank, gain in enumerate(ideal))
    return float(sum(gain / np.log2(rank + 2) for rank, gain in enumerate(gains)) / best) if best else 0.0


def recall(ranking: Ranking, relevant: Mapping[str, int], depth: int = 100) -> float:
    wanted = {paper for paper, grade in relevant.items() if grade > 0}
    return len(wanted & set(ranking[:depth])) / len(wanted)


def per_query(
    measure_one: Callable[[Ranking, Mapping[str, int]], float],
    rankings: Sequence[Ranking],
    queries: Sequence[Query],
) -> Floats:
    return np.array(
        [measure_one(ranking, query.relevant) for ranking, query in zip(rankings, queries, strict=True)]
    )


def interval(differences: Floats) -> str:
    """The mean of paired differences with its 95 % bootstrap interval."""
    random = np.random.default_rng(0)
    picks = random.integers(0, len(differences), (BOOTSTRAPS, len(differences)))
    low, high = np.percentile(differences[picks].mean(axis=1), [2.5, 97.5]) * 100
    return f"{differences.mean() * 100:+.1f} [{low:+.1f}, {high:+.1f}]"


def report_quality(rankings: Mapping[str, Sequence[Ranking]], queries: Sequence[Query]) -> None:
    shipped = per_query(ndcg, rankings[SHIPPED], queries)
    print(f"## Cranfield, {len(queries)} queries\n")
    print("| | nDCG@10 | against fused, 95 % interval | Recall@100 |\n|---|---:|---:|---:|")
    for name, each in rankings.items():
        scores = per_query(ndcg, each, queries)
        difference = "" if name == SHIPPED else interval(scores - shipped)
        found = per_query(recall, each, queries)
        print(f"| {name} | {scores.mean() * 100:.1f} | {difference} | {found.mean() * 100:.1f} |")
    print(
        "\nThe product asks the keyword arm for eight times as many matches; the other lines have 100 of each arm.\n"
    )


def report_weights(found: Sequence[Found], queries: Sequence[Query]) -> None:
    weights = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    print("nDCG@10 by the vectors' weight:\n")
    print(f"| | {' | '.join(map(str, weights))} |\n|---|{'---:|' * len(weights)}")
    fusions = {"fixed scales": by_fixed_scales, "min-max": by_min_max, "reciprocal ranks": by_ranks}
    for name, fusion in fusions.items():
        scores = [
            per_query(ndcg, [fusion(one, weight) for one in found], queries).mean() * 100
            for weight in weights
        ]
        print(f"| {name} | {' | '.join(f'{score:.1f}' for score in scores)} |")
    print()


def report_latency(where: str, took_ms: Mapping[str, Sequence[float]]) -> None:
    print(f"{where}, one search at a time, ms:\n\n| | p50 | p95 | worst |\n|---|---:|---:|---:|")
    for name, times in took_ms.items():
        middle, high = np.percentile(times, [50, 95])
        print(f"| {name} | {middle:.0f} | {high:.0f} | {max(times):.0f} |")
    print()


# --- the sample company --------------------------------------------------------------------------------


async def measure_known_items(platform: Platform) -> None:
    """One right paper a query: its title is asked for, its abstract without the title is there."""
    rows = [row for row in read_lines(CRANFIELD / "corpus.jsonl") if row["title"] and len(row["text"]) > 200]
    bodies = {
        row["_id"]: Chunk(
            ordinal=0, heading="", text=row["text"].removeprefix(row["title"]).strip(), page=None, tokens=1
        )
        for row in rows
    }
    queries = [Query(row["title"], {row["_id"]: 1}) for row in rows[::3]]
    index = PostgresIndex(platform.database)
    vectors = await embed(platform, [body.searchable for body in bodies.values()], "document")
    await fill(platform.database, index, bodies, vectors)
    asked = await embed(platform, [query.text for query in queries], "query")
    weight = KnowledgeSettings().vector_weight
    fused = [
        by_fixed_scales(await find(index, index, query, vector), weight)
        for query, vector in zip(queries, asked, strict=True)
    ]
    shipped, _ = await search_all(platform, [query.text for query in queries], False)
    print(f"## Known items: {len(queries)} titles, each of one abstract\n")
    print("| | nDCG@10 | against fused, 95 % interval |\n|---|---:|---:|")
    base = per_query(ndcg, fused, queries)
    print(f"| {SHIPPED} | {base.mean() * 100:.1f} | |")
    scores = per_query(ndcg, shipped, queries)
    print(f"| search as shipped, without rerank | {scores.mean() * 100:.1f} | {interval(scores - base)} |\n")


async def measure_company(platform: Platform) -> None:
    await platform.folders.wait(await platform.folders.sync(sample_documents()))
    questions = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    asked = [question for question in questions if question["answerable"]]
    texts = [question["question"] for question in asked]
    took_ms: dict[str, list[float]] = {}
    print(f"## The sample company, {len(asked)} answerable questions\n")
    print("A question counts as found when a passage of every document that it needs is among the first.\n")
    print("| | among 1 | 3 | 5 | 10 |\n|---|---:|---:|---:|---:|")
    for name, rerank in (("without rerank", False), (RERANKED, True)):
        rankings, took_ms[name] = await search_all(platform, texts, rerank)
        shares = [
            np.mean(
                [
                    set(question["documents"]) <= set(ranking[:depth])
                    for question, ranking in zip(asked, rankings, strict=True)
                ]
            )
            for depth in (1, 3, 5, 10)
        ]
        print(f"| {name} | {' | '.join(f'{share:.0%}' for share in shares)} |")
    print()
    report_latency("The sample company", took_ms)


if __name__ == "__main__":
    main()
