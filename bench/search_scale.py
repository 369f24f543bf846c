"""The whole search as the index grows: latency with and without filters, rerank and access rules; recall against exact.

    python -m bench.search_scale build --folder F --chunks 100000
    python -m bench.search_scale measure --folder F
    python -m bench.search_scale report --folder F G H > bench/results/search_scale.md
    python -m bench.search_scale arms --folder F

Synthetic vectors and real text, in the real embedding space: a chunk is eight sentences of Cranfield, most of one paper,
and its vector is the mean of theirs with noise. Documents have 20 chunks. Queries are Cranfield's, embedded by the real
model as every search does. Beside the time on the wall stands the work: milliseconds of processor that Causeway and its
database took for a search, which other programs on the machine change less. ``build`` makes the rows in bulk and the
indexes of words and vectors at last, as a restore would, and goes on from what is there. A question over HTTP goes to
`causeway up` with the models of the settings.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import text

from bench.index_scale import names
from bench.machine import describe
from bench.retrieval import embed, read_lines
from bench.search_scale_build import (
    CHUNKS_A_DOCUMENT,
    CRANFIELD,
    DIMENSIONS,
    SHARES,
    build,
    read_sentences,
    say,
)
from causeway.contracts.identity import SYSTEM, Principal, Scope
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import Vectors
from causeway.knowledge import Chunk, SearchRequest
from causeway.knowledge.index.filters import EVERYTHING, Eq, Filter
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.settings import KnowledgeSettings, Settings, StorageSettings, load
from causeway.wiring import Platform, Work, open_platform

RERANKED = 20
WARM_UP = 5
CALL = Call(principal=SYSTEM, purpose="bench")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("build", "measure", "arms", "report"))
    parser.add_argument("--folder", type=Path, required=True, nargs="+")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    if options.what == "report":
        report(options.folder)
    else:
        asyncio.run(run(options, options.folder[0]))


async def run(options: argparse.Namespace, folder: Path) -> None:
    storage = StorageSettings(dir=folder, models_dir=load().storage.models_dir)
    settings = Settings(storage=storage, knowledge=KnowledgeSettings(rerank_candidates=RERANKED))
    async with open_platform(settings, work=Work.MUST) as platform:
        if options.what == "build":
            await build(platform, folder, options.chunks)
        elif options.what == "measure":
            await measure(platform, folder, options.queries)
        else:
            await measure_arms(platform, options.queries)
    if options.what == "measure":
        keep(folder, {"ask_ms": time_asking(folder)})


# --- measuring -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """A kind of search that is timed: who asks, and what is changed in each of Cranfield's questions."""

    name: str
    call: Call = CALL
    filters: Mapping[str, object] = field(default_factory=dict)
    facets: tuple[str, ...] = ()
    rerank: bool = False
    said: Callable[[str, int], str] = lambda query, _: query


async def measure(platform: Platform, folder: Path, queries: int) -> None:
    """All numbers of one size but those that a server gives, kept as they come."""
    asked = [row["text"] for row in read_lines(CRANFIELD / "queries.jsonl")][: queries + WARM_UP]
    found: dict[str, Any] = {"chunks": await count(platform, "chunks"), "machine": describe()}
    found["sizes_mb"] = await sizes(platform)
    found["built_s"] = json.loads((folder / "built.json").read_text(encoding="utf-8"))
    found["ways"] = {}
    for way in ways(await common_words(platform)):
        found["ways"][way.name] = await time_way(platform, way, asked)
        keep(folder, found)
    say("searches are timed")
    vectors = await embed(platform, asked[WARM_UP : WARM_UP + 50], "query")
    keep(folder, {"recall": await measure_recall(platform, vectors)})
    keep(folder, {"replaced_ms": await replace_time(platform)})


def keep(folder: Path, found: Mapping[str, Any]) -> None:
    """Add to ``measured.json`` of the folder."""
    file = folder / "measured.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps({**known, **found}, indent=1), encoding="utf-8")


def ways(common: Sequence[str]) -> list[Way]:
    return [
        Way("everything"),
        *(Way(f"filter that {name} pass", filters={name: True}) for name in SHARES),
        Way("filter by author, 2.5 % pass", filters={"author": "Author 7"}),
        Way("a reader who sees all", viewer("all")),
        *(Way(f"a reader who sees {name}", viewer(name)) for name in SHARES),
        Way("a reader in three groups, half", viewer(*SHARES)),
        Way("the same with a filter that 5 % pass", viewer(*SHARES), {"5 %": True}),
        Way("with four facets", facets=("type", "folder", "author", "modified")),
        Way("an identifier is asked for", said=lambda query, n: f"{query} part-{n * 37 % 400}-{n % 20}"),
        Way("five of the commonest words", said=lambda _, n: " ".join(common[n % 20 :: 20][:5])),
        Way("two words misspelt", said=misspelt),
        Way(f"everything, {RERANKED} passages reranked", rerank=True),
    ]


async def common_words(platform: Platform) -> list[str]:
    """The hundred stems that are in most chunks."""
    async with platform.database.connect() as connection:
        known = await connection.scalar(
            text(
                "SELECT (most_common_elems::text::text[])[:] FROM pg_stats"
                " WHERE tablename = 'chunk_keywords' AND attname = 'lexemes'"
            )
        )
        shares = await connection.scalar(
            text(
                "SELECT most_common_elem_freqs FROM pg_stats"
                " WHERE tablename = 'chunk_keywords' AND attname = 'lexemes'"
            )
        )
    ordered = sorted(zip(shares, known, strict=False), reverse=True)
    return [word for _, word in ordered if word.isalpha()][:100]


def misspelt(query: str, _: int) -> str:
    """``query`` with two neighbouring letters swapped in each of its two longest words."""
    words = query.split()
    for word in sorted(set(words), key=len)[-2:]:
        middle = len(word) // 2
        words[words.index(word)] = f"{word[: middle - 1]}{word[middle]}{word[middle - 1]}{word[middle + 1 :]}"
    return " ".join(words)


async def time_way(platform: Platform, way: Way, queries: Sequence[str]) -> dict[str, list[float]]:
    """Milliseconds of each search: on the clock, of this process and its database, of the database alone."""
    effort = Effort(platform)
    took: dict[str, list[float]] = {"clock": [], "work": [], "database": []}
    for number, query in enumerate(queries[: WARM_UP + 40] if way.rerank else queries):
        request = SearchRequest(
            query=way.said(query, number), filters=way.filters, rerank=way.rerank, facets=way.facets, top_k=10
        )
        work, database, started = effort.ms(), effort.servers_ms(), time.perf_counter()
        found = await platform.search.search(request, way.call)
        if number >= WARM_UP:
            took["clock"].append((time.perf_counter() - started) * 1000)
            took["work"].append(effort.ms() - work)
            took["database"].append(effort.servers_ms() - database)
        assert found.hits, (way.name, query)
        assert not found.notes, found.notes
    return took


async def count(platform: Platform, table: str) -> int:
    async with platform.database.connect() as connection:
        return int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


async def measure_recall(platform: Platform, vectors: Vectors) -> dict[str, float]:
    """Of the exact best 10 by vectors, how many are found: the least of what passes, who reads, and both."""
    index, shares = PostgresIndex(platform.database), {}
    for name in ("all", *SHARES):
        found_shares = []
        for vector in vectors:
            where: Filter = EVERYTHING if name == "all" else Eq(name, True)
            right = set(names(await index.dense(vector, 10, where, exact=True)))
            found_shares.append(len(set(names(await index.dense(vector, 10, where))) & right) / len(right))
        shares[name] = float(np.mean(found_shares))
    return shares


async def sizes(platform: Platform) -> dict[str, float]:
    asked = {
        "all": "pg_database_size(current_database())",
        "chunks": "pg_total_relation_size('chunks')",
        "vector index": f"pg_relation_size('chunks_embedding_{DIMENSIONS}')",
        "words": "pg_total_relation_size('chunk_keywords')",
    }
    async with platform.database.connect() as connection:
        return {
            name: float(await connection.scalar(text(f"SELECT {size} / 1e6")) or 0)
            for name, size in asked.items()
        }


async def replace_time(platform: Platform) -> list[float]:
    """Milliseconds that documents of 20 chunks take to change, everything but the embedding included."""
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
    return took_ms


def viewer(*groups: str) -> Call:
    name = " and ".join(groups)
    principal = Principal(
        id=f"key_{name}",
        name=name,
        scopes=frozenset({Scope.ASK}),
        user=name,
        sees_as=frozenset({"everyone", *(f"group:{group}" for group in groups)}),
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


def time_asking(folder: Path) -> list[float]:
    """Over HTTP, from a question to the server's event with the passages, reranked as it is shipped."""
    questions = [row["text"] for row in read_lines(CRANFIELD / "queries.jsonl")][: WARM_UP + 40]
    environment = {**os.environ, "CAUSEWAY_STORAGE__DIR": str(folder)}  # noqa: TID251 - a script
    causeway = [sys.executable, "-m", "causeway"]
    create = [*causeway, "keys", "create", f"asks-{time.time_ns()}", "--scope", "admin", "--json"]
    made = subprocess.run(create, env=environment, check=True, capture_output=True, text=True)
    key = json.loads(made.stdout)["key"]
    headers = {"authorization": f"Bearer {key}"}
    took_ms = []
    up = [*causeway, "up", "--port", "0"]
    with subprocess.Popen(up, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            found = (re.search(r"http://\S+", line) for line in process.stdout or ())
            address = next(each[0] for each in found if each)
            with httpx.Client(base_url=address, headers=headers, timeout=120) as client:
                for question in questions:
                    started = time.perf_counter()
                    body = {"question": question, "stream": True}
                    with client.stream("POST", "/api/ask", json=body) as answer:
                        answer.raise_for_status()
                        first = next(line for line in answer.iter_lines() if line.startswith("event:"))
                        took_ms.append((time.perf_counter() - started) * 1000)
                    assert "retrieved" in first, first
        finally:
            process.terminate()
    return took_ms[WARM_UP:]


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


# --- the page ------------------------------------------------------------------------------------------


def report(folders: Sequence[Path]) -> None:
    """The page, of what was measured in each folder."""
    measured = sorted(
        (json.loads((folder / "measured.json").read_text(encoding="utf-8")) for folder in folders),
        key=lambda each: each["chunks"],
    )
    print(
        f"# Search as the index grows\n\nMade by `python -m bench.search_scale`.\n\n{measured[-1]['machine']}\n"
    )
    heads = [f"{each['chunks']:,}" for each in measured]
    print(f"Chunks of about 1,400 characters, {DIMENSIONS} dimensions, 20 to a document.\n")
    table("", heads, built(measured))
    for kind, words in (
        ("clock", "ms on the clock"),
        ("work", "processor ms of Causeway and its database"),
        ("database", "processor ms of the database alone"),
    ):
        rows = {
            name: [spread(each["ways"].get(name, {}).get(kind, [])) for each in measured]
            for name in measured[-1]["ways"]
        }
        if kind == "clock":
            rows["a question over HTTP to its passages, reranked"] = [
                spread(each.get("ask_ms", [])) for each in measured
            ]
        table(f"p50, p95: {words}", heads, rows)
    rows = {
        f"{name} pass": [f"{each['recall'][name]:.3f}" for each in measured]
        for name in measured[-1]["recall"]
    }
    table("vectors: of the exact best 10", heads, rows)


def built(measured: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    rows = {
        f"{name}, MB": [f"{each['sizes_mb'][name]:,.0f}" for each in measured]
        for name in measured[0]["sizes_mb"]
    }
    rows |= {
        f"making the {name}, s": [f"{each['built_s'].get(name, 0):,.0f}" for each in measured]
        for name in measured[0]["built_s"]
    }
    rows["replacing a document of 20 chunks, ms"] = [spread(each.get("replaced_ms", [])) for each in measured]
    return rows


def table(what: str, heads: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    print(f"| {what} | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")
    print()


def spread(took_ms: Sequence[float]) -> str:
    if not took_ms:
        return ""
    middle, high = np.percentile(took_ms, [50, 95])
    return f"{middle:.0f}, {high:.0f}"


if __name__ == "__main__":
    main()
