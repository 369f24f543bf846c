"""The whole search as the index grows: latency with and without filters, rerank and access rules; recall against exact.

    python -m bench.search_scale build --folder F --chunks 100000
    python -m bench.search_scale measure --folder F > bench/results/search_scale_100k.md
    python -m bench.search_scale arms --folder F

Synthetic vectors and real text, in the real embedding space: a chunk is eight sentences of Cranfield, most of one paper,
and its vector is the mean of theirs with noise. Documents have 20 chunks. Queries are Cranfield's, embedded by the real
model as every search does. Beside the time on the wall stands the work: milliseconds of processor that Causeway and its
database took for a search, which other programs on the machine do not change. ``build`` makes the rows in bulk and the vector index at last, as a restore would; it says how
long a document takes to replace. It goes on from what is there.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import text

from bench.index_scale import names
from bench.machine import describe
from bench.retrieval import embed, read_lines
from causeway.contracts.identity import SYSTEM, Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.knowledge import Chunk, SearchRequest
from causeway.knowledge.index.filters import EVERYTHING, Eq, Filter
from causeway.knowledge.index.identifiers import identifiers
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.settings import KnowledgeSettings, Settings, StorageSettings, load
from causeway.wiring import Platform, Work, open_platform

CRANFIELD = Path(__file__).parent.parent.parent / "shared" / "data" / "cranfield"
DIMENSIONS = 384
CHUNKS_A_DOCUMENT = 20
BATCH_DOCUMENTS = 100
RERANKED = 20
NOISE = 0.35
"""Length of what is added to a chunk's vector, beside 1: neighbours in one paper then have cosines of about .85."""
CALL = Call(principal=SYSTEM, purpose="bench")
SHARES = {"half": 2, "5 %": 20, "1 %": 100}
"""Every so many documents pass the filter of that name, and are of the group of that name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("build", "measure", "arms"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    asyncio.run(run(options))


async def run(options: argparse.Namespace) -> None:
    storage = StorageSettings(dir=options.folder, models_dir=load().storage.models_dir)
    settings = Settings(storage=storage, knowledge=KnowledgeSettings(rerank_candidates=RERANKED))
    async with open_platform(settings, work=Work.MUST) as platform:
        if options.what == "build":
            await build(platform, options.folder, options.chunks)
        elif options.what == "measure":
            await measure(platform, options.queries)
        else:
            await measure_arms(platform, options.queries)


# --- building ------------------------------------------------------------------------------------------


async def build(platform: Platform, folder: Path, chunks: int) -> None:
    sentences, papers = read_sentences()
    known = await sentence_vectors(platform, folder, sentences)
    there = await count(platform, "documents")
    wanted = chunks // CHUNKS_A_DOCUMENT
    say(f"{there} documents are there, {wanted} wanted")
    await execute(
        platform,
        "INSERT INTO collections (id, name, embedding_model, dimensions)"
        f" VALUES ('col_scale', 'scale', 'bge-small-en', {DIMENSIONS}) ON CONFLICT DO NOTHING",
    )
    if wanted - there > there / 4:
        await execute(platform, f"DROP INDEX IF EXISTS chunks_embedding_{DIMENSIONS}")
    for first in range(there, wanted, BATCH_DOCUMENTS):
        await add_documents(platform, first, min(first + BATCH_DOCUMENTS, wanted), sentences, papers, known)
        if (first // BATCH_DOCUMENTS) % 20 == 0:
            say(f"{first} documents")
    started = time.perf_counter()
    async with platform.database.begin() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(text("SET LOCAL maintenance_work_mem = '3GB'"))
        await connection.execute(
            text(
                f"CREATE INDEX IF NOT EXISTS chunks_embedding_{DIMENSIONS} ON chunks"
                f" USING hnsw ((embedding::halfvec({DIMENSIONS})) halfvec_cosine_ops)"
                f" WHERE vector_dims(embedding) = {DIMENSIONS}"
            )
        )
    say(f"vector index: {time.perf_counter() - started:.0f} s")
    for statement in ("VACUUM ANALYZE documents", "VACUUM ANALYZE chunks", "VACUUM ANALYZE chunk_keywords"):
        await outside_a_transaction(platform, statement)
    say("done")


def read_sentences() -> tuple[list[str], list[list[int]]]:
    """Every sentence of Cranfield, and the numbers of each paper's."""
    sentences: list[str] = []
    papers: list[list[int]] = []
    for row in read_lines(CRANFIELD / "corpus.jsonl"):
        mine = [each.strip() for each in row["text"].split(" . ") if len(each.split()) > 3]
        if mine:
            papers.append(list(range(len(sentences), len(sentences) + len(mine))))
            sentences.extend(mine)
    return sentences, papers


async def sentence_vectors(platform: Platform, folder: Path, sentences: Sequence[str]) -> Vectors:
    file = folder / "sentences.npy"
    if not file.exists():
        parts = [
            await embed(platform, sentences[first : first + 256], "document")
            for first in range(0, len(sentences), 256)
        ]
        np.save(file, np.concatenate(parts))
    vectors: Vectors = np.load(file)
    return vectors


async def add_documents(
    platform: Platform,
    first: int,
    last: int,
    sentences: Sequence[str],
    papers: Sequence[Sequence[int]],
    known: Vectors,
) -> None:
    random = np.random.default_rng(first)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        {
            "id": f"doc_{number}",
            "path": f"folder{number % 50}/{number}.pdf",
            "modified": begin - timedelta(days=number % 1000),
            "type": ("application/pdf", "text/markdown", "text/html")[number % 3],
            "metadata": metadata_of(number),
            "readers": readers_of(number),
        }
        for number in range(first, last)
    ]
    chunks = [
        chunk
        for number in range(first, last)
        for chunk in chunks_of(random, number, sentences, papers, known)
    ]
    async with platform.database.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO documents (id, collection_id, source, path, title, size_bytes, blob, modified_at,"
                " state, revision, ready_revision, media_type, metadata, own_readers)"
                " VALUES (:id, 'col_scale', 'upload', :path, '', 1, 'none', :modified,"
                " 'ready', 1, 1, :type, CAST(:metadata AS jsonb), :readers)"
            ),
            rows,
        )
        columns = [list(column) for column in zip(*chunks, strict=True)]
        given = dict(
            zip(("ids", "documents", "ordinals", "texts", "vectors", "wholes"), columns, strict=True)
        )
        unnested = (
            "FROM unnest(CAST(:ids AS text[]), CAST(:documents AS text[]), CAST(:ordinals AS int[]),"
            " CAST(:texts AS text[]), CAST(:vectors AS text[]), CAST(:wholes AS text[]))"
            " AS given (id, document, ordinal, words, vector, whole)"
        )
        await connection.execute(
            text(
                "INSERT INTO chunks (id, document_id, collection_id, ordinal, heading, text, tokens, embedding)"
                f" SELECT id, document, 'col_scale', ordinal, 'Paper', words, 190, CAST(vector AS vector) {unnested}"
            ),
            given,
        )
        await connection.execute(
            text(
                "INSERT INTO chunk_keywords (chunk_id, document_id, lexemes, length)"
                " SELECT id, document, lexemes || array_to_tsvector(string_to_array(whole, ' ')),"
                " (SELECT coalesce(sum(cardinality(positions)), 0) FROM unnest(lexemes))"
                f" {unnested}, to_tsvector('english', 'Paper ' || words) AS lexemes"
            ),
            given,
        )


def metadata_of(number: int) -> str:
    marks = ", ".join(f'"{name}": {str(number % every == 0).lower()}' for name, every in SHARES.items())
    return f'{{{marks}, "author": "Author {number % 40}"}}'


def readers_of(number: int) -> list[str]:
    return ["group:all", *(f"group:{name}" for name, every in SHARES.items() if number % every == 0)]


def chunks_of(
    random: np.random.Generator,
    number: int,
    sentences: Sequence[str],
    papers: Sequence[Sequence[int]],
    known: Vectors,
) -> list[tuple[object, ...]]:
    made: list[tuple[object, ...]] = []
    for ordinal in range(CHUNKS_A_DOCUMENT):
        paper = papers[int(random.integers(len(papers)))]
        picks = [*random.choice(paper, 6), *random.integers(0, len(sentences), 2)]
        said = f"{' . '.join(sentences[pick] for pick in picks)} part-{number}-{ordinal}"
        noise = random.normal(size=DIMENSIONS)
        vector = known[picks].mean(axis=0)
        vector = vector / np.linalg.norm(vector) + NOISE * noise / np.linalg.norm(noise)
        vector = vector / np.linalg.norm(vector)
        written = "[" + ",".join(f"{value:.6f}" for value in vector) + "]"
        whole = " ".join(sorted(identifiers(said)))
        made.append((f"chk_{number}_1_{ordinal}", f"doc_{number}", ordinal, said, written, whole))
    return made


async def execute(platform: Platform, statement: str) -> None:
    async with platform.database.begin() as connection:
        await connection.execute(text(statement))


async def outside_a_transaction(platform: Platform, statement: str) -> None:
    import psycopg  # noqa: PLC0415 - VACUUM alone needs it

    url = platform.database.url.replace("postgresql+psycopg", "postgresql")

    def run() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())

    await asyncio.to_thread(run)


async def count(platform: Platform, table: str) -> int:
    async with platform.database.connect() as connection:
        return int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


# --- measuring -----------------------------------------------------------------------------------------


async def measure(platform: Platform, queries: int) -> None:
    chunks = await count(platform, "chunks")
    asked = [row["text"] for row in read_lines(CRANFIELD / "queries.jsonl")][: queries + 10]
    print(f"# Search over {chunks:,} chunks\n\nMade by `python -m bench.search_scale`.\n\n{describe()}\n")
    print(f"{await sizes(platform)}\n\n{await replace_time(platform)}\n")
    await measure_latency(platform, asked[:10], asked[10:])
    vectors = await embed(platform, asked[10:60], "query")
    await measure_recall(platform, vectors)


async def sizes(platform: Platform) -> str:
    async with platform.database.connect() as connection:
        row = (
            await connection.execute(
                text(
                    "SELECT pg_total_relation_size('chunks') / 1e6, pg_total_relation_size('chunk_keywords') / 1e6,"
                    f" pg_relation_size('chunks_embedding_{DIMENSIONS}') / 1e6, pg_database_size(current_database()) / 1e6"
                )
            )
        ).one()
    return (
        f"Chunks {row[0]:.0f} MB, of these the vector index {row[2]:.0f} MB; words {row[1]:.0f} MB;"
        f" the database {row[3]:.0f} MB."
    )


async def replace_time(platform: Platform) -> str:
    """How long a document of 20 chunks takes to change, everything included."""
    random, took_ms = np.random.default_rng(3), []
    sentences, _ = read_sentences()
    async with platform.database.connect() as connection:
        found = (
            await connection.execute(text("SELECT id, revision FROM documents ORDER BY id LIMIT 30"))
        ).all()
    for row in found:
        picks = random.integers(0, len(sentences), (CHUNKS_A_DOCUMENT, 8))
        pieces = [
            Chunk(
                ordinal=n,
                heading="Paper",
                text=" . ".join(sentences[pick] for pick in mine),
                page=None,
                tokens=190,
            )
            for n, mine in enumerate(picks)
        ]
        vectors = random.normal(size=(CHUNKS_A_DOCUMENT, DIMENSIONS))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        started = time.perf_counter()
        await platform.index.replace_document(
            row.id, row.revision, pieces, vectors, media_type="text/plain", title="", pages=None, blob="none"
        )
        took_ms.append((time.perf_counter() - started) * 1000)
    middle, high = np.percentile(took_ms, [50, 95])
    return f"A document of {CHUNKS_A_DOCUMENT} chunks is replaced in {middle:.0f} ms (p95 {high:.0f}), without embedding it."


def viewer(group: str) -> Call:
    principal = Principal(
        id=f"key_{group}",
        name=group,
        scopes=frozenset({Scope.ASK}),
        user=group,
        sees_as=frozenset({"everyone", f"group:{group}"}),
    )
    return Call(principal=principal, purpose="bench")


class Effort:
    """Processor time of this process and of its database's."""

    def __init__(self, platform: Platform) -> None:
        file = platform.settings.storage.dir / "postgres" / "data" / "postmaster.pid"
        self._server = int(file.read_text(encoding="utf-8").split()[0])

    def ms(self) -> float:
        """So far; a process that ended meanwhile counts no more."""
        return time.process_time() * 1000 + sum(self._of_servers())

    def servers_ms(self) -> float:
        """The database's alone."""
        return sum(self._of_servers())

    def _of_servers(self) -> Iterator[float]:
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                    if parent == self._server:
                        yield int((process / "schedstat").read_text().split()[0]) / 1e6
                except (OSError, ValueError):
                    continue


async def measure_latency(platform: Platform, warm_up: Sequence[str], queries: Sequence[str]) -> None:
    print(f"{len(queries)} queries of Cranfield, one at a time, each embedded; ms.\n")
    print("| | p50 | p95 | worst | work p50 | work p95 |\n|---|---:|---:|---:|---:|---:|")
    effort = Effort(platform)
    ways: dict[str, tuple[Call, dict[str, object], bool]] = {"everything": (CALL, {}, False)}
    for name in SHARES:
        ways[f"filter that {name} pass"] = (CALL, {name: True}, False)
    ways["filter by author, 2.5 % pass"] = (CALL, {"author": "Author 7"}, False)
    ways["a reader who sees all"] = (viewer("all"), {}, False)
    for name in SHARES:
        ways[f"a reader who sees {name}"] = (viewer(name), {}, False)
    ways[f"everything, reranked, {RERANKED} passages"] = (CALL, {}, True)
    for name, (call, filters, rerank) in ways.items():
        took_ms, work_ms = [], []
        asked = [*warm_up[:5], *(queries[:40] if rerank else queries)]
        for number, query in enumerate(asked):
            request = SearchRequest(query=query, filters=filters, rerank=rerank, top_k=10)
            before, started = effort.ms(), time.perf_counter()
            found = await platform.search.search(request, call)
            if number >= 5:
                took_ms.append((time.perf_counter() - started) * 1000)
                work_ms.append(effort.ms() - before)
            assert found.hits, (name, query)
            assert not found.notes, found.notes
        middle, high, worst = np.percentile(took_ms, [50, 95, 100])
        work = np.percentile(work_ms, [50, 95])
        print(
            f"| {name} | {middle:.0f} | {high:.0f} | {worst:.0f} | {work[0]:.0f} | {work[1]:.0f} |",
            flush=True,
        )
    took_ms = []
    for query in queries:
        started = time.perf_counter()
        await platform.gateway.embed(EmbedRequest(model="embed", texts=(query + " now",), kind="query"), CALL)
        took_ms.append((time.perf_counter() - started) * 1000)
    middle, high, worst = np.percentile(took_ms, [50, 95, 100])
    print(f"| of this, embedding the query | {middle:.0f} | {high:.0f} | {worst:.0f} | | |\n")


async def measure_arms(platform: Platform, queries: int) -> None:
    """What each arm costs the database, where a machine is too busy for the clock on the wall."""
    effort = Effort(platform)
    asked = [row["text"] for row in read_lines(CRANFIELD / "queries.jsonl")][: queries + 4]
    vectors = await embed(platform, asked, "query")
    print(f"# The arms of a search over {await count(platform, 'chunks'):,} chunks\n\n{describe()}\n")
    print("Milliseconds of the database's processor for a query, the mean of each arm's queries.\n")
    print("| | words | vectors |\n|---|---:|---:|")
    ways: dict[str, tuple[Call, Filter]] = {"everything": (CALL, EVERYTHING)}
    ways |= {f"filter that {name} pass": (CALL, Eq(name, True)) for name in SHARES}
    ways |= {f"a reader who sees {name}": (viewer(name), EVERYTHING) for name in ("all", *SHARES)}
    for name, (call, where) in ways.items():
        index = platform.index.seen_by(call.principal)
        cells = []
        for arm in ("words", "vectors"):
            before = 0.0
            for number, (query, vector) in enumerate(zip(asked, vectors, strict=True)):
                if number == len(asked) - queries:
                    before = effort.servers_ms()
                await (index.lexical(query, 400, where) if arm == "words" else index.dense(vector, 50, where))
            cells.append(f"{(effort.servers_ms() - before) / queries:.0f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


async def measure_recall(platform: Platform, vectors: Vectors) -> None:
    index = PostgresIndex(platform.database)
    print("| vectors, best 10 | recall against exact | p50 ms |\n|---|---:|---:|")
    for name in ("all", *SHARES):
        where: Filter = EVERYTHING if name == "all" else Eq(name, True)
        shares, took_ms = [], []
        for vector in vectors:
            right = set(names(await index.dense(vector, 10, where, exact=True)))
            started = time.perf_counter()
            found = set(names(await index.dense(vector, 10, where)))
            took_ms.append((time.perf_counter() - started) * 1000)
            shares.append(len(found & right) / len(right))
        print(f"| {name} pass | {np.mean(shares):.3f} | {np.median(took_ms):.0f} |", flush=True)


if __name__ == "__main__":
    main()
