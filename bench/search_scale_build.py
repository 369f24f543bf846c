"""The chunks of `bench.search_scale`: synthetic vectors and real text, in the real embedding space, made in bulk.

A chunk is eight sentences of Cranfield, most of one paper, and its vector is the mean of theirs with noise. Documents have
20 chunks. The indexes of words and vectors are made at last, as a restore would. What is there is gone on from.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from pgvector.psycopg import register_vector

from bench.retrieval import embed, read_lines
from causeway.contracts.vectors import Vectors
from causeway.knowledge.index.identifiers import identifiers
from causeway.wiring import Platform

CRANFIELD = Path(__file__).parent.parent.parent / "shared" / "data" / "cranfield"
DIMENSIONS = 384
CHUNKS_A_DOCUMENT = 20
SHARES = {"half": 2, "5 %": 20, "1 %": 100}
"""Every so many documents pass the filter of that name, and are of the group of that name."""
_BATCH_DOCUMENTS = 100
_MEMORY = "2GB"
"""Enough for the graph of a million vectors."""
_NOISE = 0.35
"""Length of what is added to a chunk's vector, beside 1: neighbours in one paper then have cosines of about .85."""
Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Source:
    """What chunks are made of: sentences with their vectors and identifiers, and the numbers of each paper's."""

    sentences: Sequence[str]
    papers: Sequence[Sequence[int]]
    vectors: Vectors
    identifiers: Sequence[frozenset[str]]


async def build(platform: Platform, folder: Path, chunks: int) -> None:
    sentences, papers = read_sentences()
    vectors = await sentence_vectors(platform, folder, sentences)
    source = Source(sentences, papers, vectors, [identifiers(each) for each in sentences])
    took_s = await asyncio.to_thread(build_rows, platform.database.url, source, chunks // CHUNKS_A_DOCUMENT)
    (folder / "built.json").write_text(json.dumps(took_s), encoding="utf-8")


def build_rows(url: str, source: Source, wanted: int) -> dict[str, float]:
    """How many seconds each part took."""
    started = time.perf_counter()
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        register_vector(connection)
        connection.execute("SET statement_timeout = 0")
        connection.execute("SET synchronous_commit = off")
        connection.execute(f"SET maintenance_work_mem = '{_MEMORY}'")
        connection.execute("SET max_parallel_maintenance_workers = 1")
        connection.execute(
            "INSERT INTO collections (id, name, embedding_model, dimensions)"
            f" VALUES ('col_scale', 'scale', 'bge-small-en', {DIMENSIONS}) ON CONFLICT DO NOTHING"
        )
        keep_sentences(connection, source)
        [(there,)] = connection.execute("SELECT count(*) FROM documents").fetchall()
        say(f"{there} documents are there, {wanted} wanted")
        if wanted - there > there / 4:
            connection.execute(f"DROP INDEX IF EXISTS chunks_embedding_{DIMENSIONS}")
            connection.execute("DROP INDEX IF EXISTS ix_chunk_keywords_lexemes")
        for first in range(there, wanted, _BATCH_DOCUMENTS):
            with connection.transaction():
                add_documents(connection, first, min(first + _BATCH_DOCUMENTS, wanted), source)
            if (first // _BATCH_DOCUMENTS) % 50 == 0:
                say(f"{first} documents")
        rows_s = time.perf_counter() - started
        return {"rows": rows_s, **make_indexes(connection)}


def make_indexes(connection: Connection) -> dict[str, float]:
    took_s = {}
    for name, statement in (
        (
            "index of words",
            "CREATE INDEX IF NOT EXISTS ix_chunk_keywords_lexemes ON chunk_keywords USING gin (lexemes)"
            " WITH (gin_pending_list_limit = 512)",
        ),
        (
            "vector index",
            f"CREATE INDEX IF NOT EXISTS chunks_embedding_{DIMENSIONS} ON chunks"
            f" USING hnsw ((embedding::halfvec({DIMENSIONS})) halfvec_cosine_ops)"
            f" WHERE vector_dims(embedding) = {DIMENSIONS}",
        ),
        ("statistics", "VACUUM ANALYZE documents, chunks, chunk_keywords, vocabulary"),
    ):
        started = time.perf_counter()
        connection.execute(statement)
        took_s[name] = time.perf_counter() - started
        say(f"{name}: {took_s[name]:.0f} s")
    return took_s


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


def keep_sentences(connection: Connection, source: Source) -> None:
    """The sentences' words, which those of chunks are joined from; and the vocabulary, which is theirs."""
    connection.execute(
        "CREATE TEMPORARY TABLE sentences (number integer PRIMARY KEY, words text, lexemes tsvector)"
    )
    with connection.cursor().copy("COPY sentences (number, words) FROM STDIN") as copy:
        for row in enumerate(source.sentences):
            copy.write_row(row)
    connection.execute("UPDATE sentences SET lexemes = to_tsvector('english', words)")
    connection.execute("ANALYZE sentences")
    connection.execute(
        "INSERT INTO vocabulary (word, shorter) SELECT word, array_append(ARRAY(SELECT DISTINCT"
        " overlay(word PLACING '' FROM at FOR 1) FROM generate_series(1, length(word)) AS at), word)"
        " FROM (SELECT word FROM ts_stat('SELECT lexemes FROM sentences')) AS held"
        " WHERE word ~ '^[[:alpha:]]{4,24}$' ON CONFLICT DO NOTHING"
    )


def add_documents(connection: Connection, first: int, last: int, source: Source) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    columns = (
        "id, collection_id, source, path, title, size_bytes, blob, modified_at, state, revision, ready_revision,"
        " media_type, metadata, own_readers"
    )
    with connection.cursor().copy(f"COPY documents ({columns}) FROM STDIN") as copy:
        for number in range(first, last):
            place = (
                f"doc_{number}",
                "col_scale",
                "upload",
                f"folder{number % 50}/{number}.pdf",
                "",
                1,
                "none",
            )
            state = (begin - timedelta(days=number % 1000), "ready", 1, 1)
            media_type = ("application/pdf", "text/markdown", "text/html")[number % 3]
            copy.write_row((*place, *state, media_type, metadata_of(number), readers_of(number)))
    connection.execute("SET LOCAL session_replication_role = replica")  # no foreign keys to check from here
    picks, vectors = pick(np.random.default_rng(first), (last - first) * CHUNKS_A_DOCUMENT, source)
    named = [
        (f"chk_{number}_1_{ordinal}", f"doc_{number}", ordinal, f"part-{number}-{ordinal}")
        for number in range(first, last)
        for ordinal in range(CHUNKS_A_DOCUMENT)
    ]
    columns = "id, document_id, collection_id, ordinal, heading, text, tokens, embedding"
    with connection.cursor().copy(f"COPY chunks ({columns}) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["text", "text", "text", "int4", "text", "text", "int4", "vector"])
        for (chunk, document, ordinal, part), mine, vector in zip(named, picks, vectors, strict=True):
            said = f"{' . '.join(source.sentences[each] for each in mine)} {part}"
            copy.write_row((chunk, document, "col_scale", ordinal, "Paper", said, 190, vector))
    add_words(connection, named, picks, source)


def add_words(
    connection: Connection,
    named: Sequence[tuple[str, str, int, str]],
    picks: npt.NDArray[np.int64],
    source: Source,
) -> None:
    connection.execute(
        "CREATE TEMPORARY TABLE IF NOT EXISTS picked (chunk text, document text, part text, whole text[], picks int[])"
    )
    connection.execute("TRUNCATE picked")
    with connection.cursor().copy("COPY picked FROM STDIN") as copy:
        for (chunk, document, _, part), mine in zip(named, picks.tolist(), strict=True):
            whole = set(identifiers(part)).union(*(source.identifiers[each] for each in mine))
            copy.write_row((chunk, document, part, sorted(whole), mine))
    joined = " ".join(f"JOIN sentences AS s{n} ON s{n}.number = picks[{n}]" for n in range(1, 9))
    connection.execute(
        "INSERT INTO chunk_keywords (chunk_id, document_id, lexemes, length)"
        " SELECT chunk, document, lexemes || array_to_tsvector(whole),"
        " (SELECT sum(cardinality(positions)) FROM unnest(lexemes))"
        f" FROM (SELECT chunk, document, whole, to_tsvector('english', 'Paper')"
        f" || {' || '.join(f's{n}.lexemes' for n in range(1, 9))} || to_tsvector('english', part) AS lexemes"
        f" FROM picked {joined} OFFSET 0) AS said"
    )


def pick(random: np.random.Generator, count: int, source: Source) -> tuple[npt.NDArray[np.int64], Vectors]:
    """For each chunk eight sentences, six of them of one paper, ``(count, 8)``; and its vector, ``(count, dimensions)``."""
    sizes = np.array([len(paper) for paper in source.papers])
    begins = np.array([paper[0] for paper in source.papers])
    papers = random.integers(0, len(sizes), count)
    of_paper = begins[papers, None] + (random.random((count, 6)) * sizes[papers, None]).astype(np.int64)
    picks = np.concatenate([of_paper, random.integers(0, len(source.sentences), (count, 2))], axis=1)
    noise = random.normal(size=(count, DIMENSIONS))
    vectors = unit(source.vectors[picks].mean(axis=1)) + _NOISE * unit(noise)
    return picks, unit(vectors).astype(np.float32)


def unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    lengths: npt.NDArray[np.floating] = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: npt.NDArray[np.floating] = vectors / lengths
    return scaled


def metadata_of(number: int) -> str:
    marks = ", ".join(f'"{name}": {str(number % every == 0).lower()}' for name, every in SHARES.items())
    return f'{{{marks}, "author": "Author {number % 40}"}}'


def readers_of(number: int) -> list[str]:
    return ["group:all", *(f"group:{name}" for name, every in SHARES.items() if number % every == 0)]


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)
