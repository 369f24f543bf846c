"""What each chunking strategy is worth on the sample company's questions, with the real embedder.

    python -m bench.chunking [--strategies structure,fixed,...] [--data FOLDER] [--only policies,...] > bench/results/chunking.md

Runs the whole platform in a fresh data folder with the real models, which have to be pulled (``causeway models pull``).
One collection is given each strategy in turn, as a person would by ``causeway collections set``, and is searched without
the reranker, which would hide what chunks are worth. 46 questions: a difference of one or two is chance.

`contextual` has a chat model write a line for each chunk, which takes seconds each. With ``--data`` the lines that were written
are kept in that folder, so that a run which was interrupted goes on where it stopped; with ``--only`` a part of the documents
is read, and the questions are asked that it answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import describe
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.errors import DeadlineError
from causeway.knowledge import STRATEGIES, DocumentState, SearchRequest
from causeway.knowledge.search.request import Hit
from causeway.knowledge.search.sections import SectionSearch
from causeway.settings import DatabaseSettings, StorageSettings, load
from causeway.wiring import Platform, Work, open_platform, sample_documents

QUESTIONS = Path(__file__).parent.parent / "samples" / "questions.jsonl"
CALL = Call(principal=SYSTEM, purpose="bench")
TRIES = 5
DEPTHS = (1, 3, 5, 10)
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "fixed": {"overlap_tokens": 32},
    "recursive": {"overlap_tokens": 32},
    "sentence": {"overlap_tokens": 32},
}


@dataclass(frozen=True)
class Outcome:
    strategy: str
    chunks: int
    tokens: float
    took_s: float
    documents: Sequence[float]
    facts: Sequence[float]
    read_tokens: float
    notices: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--data", type=Path, help="where what was made is kept, for a run to go on")
    parser.add_argument("--only", default="", help="folders of the sample company to read; all without it")
    options = parser.parse_args()
    wanted, only = options.strategies.split(","), tuple(filter(None, options.only.split(",")))
    with tempfile.TemporaryDirectory(prefix="causeway-") as fresh:
        asyncio.run(compare(wanted, options.data or Path(fresh) / "data", _part(only, Path(fresh)), only))


def _part(only: Sequence[str], folder: Path) -> Path:
    """The sample company's documents, or a copy of those folders alone."""
    if not only:
        return sample_documents()
    for name in only:
        shutil.copytree(sample_documents() / name, folder / "documents" / name)
    return folder / "documents"


async def compare(wanted: Sequence[str], data: Path, documents: Path, only: Sequence[str]) -> None:
    questions = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    asked = [
        question
        for question in questions
        if question["answerable"] and all((documents / name).is_file() for name in question["documents"])
    ]
    part = f" of {', '.join(only)}" if only else ""
    print(f"# Chunking strategies on the sample company's {len(asked)} answerable questions{part}\n")
    print("Made by `python -m bench.chunking`.\n")
    print(describe(), flush=True)
    settings = load().model_copy(
        update={"storage": StorageSettings(dir=data), "database": DatabaseSettings()}
    )
    async with open_platform(settings, work=Work.MUST) as platform:
        await platform.collections.ensure()
        report([await measure(platform, documents, strategy, asked) for strategy in wanted])


async def measure(
    platform: Platform, documents: Path, strategy: str, asked: Sequence[Mapping[str, Any]]
) -> Outcome:
    collection_id = await platform.collections.ensure()
    chunking = {"strategy": strategy, "overlap_tokens": None, **OPTIONS.get(strategy, {})}
    await platform.control.change_options(collection_id, {"chunking": chunking})
    started = time.perf_counter()
    found = await platform.folders.sync(documents)
    await platform.folders.wait(found)
    while (progress := await platform.progress.read(collection_id=collection_id)).left:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    took_s = time.perf_counter() - started
    assert progress.counts[DocumentState.FAILED] == 0, progress
    listed = (await platform.library.documents(limit=500)).documents
    texts = [await platform.library.text_of(document.id) for document in listed]
    tokens = [chunk.tokens for chunks in texts for chunk in chunks]
    search = SectionSearch(platform.search, platform.database)
    hits: list[Sequence[Hit]] = []
    for question in asked:
        request = SearchRequest(query=question["question"], top_k=10, rerank=False)
        hits.append(await found_by(search, request))
    pairs = list(zip(asked, hits, strict=True))
    return Outcome(
        strategy=strategy,
        chunks=len(tokens),
        tokens=float(np.mean(tokens)),
        took_s=took_s,
        documents=[float(np.mean([has_documents(q, h[:depth]) for q, h in pairs])) for depth in DEPTHS],
        facts=[float(np.mean([has_facts(q, h[:depth]) for q, h in pairs])) for depth in DEPTHS],
        read_tokens=float(np.mean([sum(hit.tokens for hit in h[:5]) for h in hits])),
        notices=sum(document.notice is not None for document in listed),
    )


async def found_by(search: SectionSearch, request: SearchRequest) -> Sequence[Hit]:
    """The hits; asked again when a busy machine let the deadline pass, since no time is measured here."""
    for _ in range(TRIES - 1):
        with suppress(DeadlineError):
            return (await search.search(request, CALL)).hits
    return (await search.search(request, CALL)).hits


def has_documents(question: Mapping[str, Any], hits: Sequence[Hit]) -> bool:
    """Whether a passage of every document that the answer needs is there."""
    return set(question["documents"]) <= {hit.path for hit in hits}


def has_facts(question: Mapping[str, Any], hits: Sequence[Hit]) -> bool:
    """Whether every fact of the answer is written in the passages."""
    said = " ".join(" ".join(f"{hit.heading} {hit.text}".split()) for hit in hits).casefold()
    facts = [[fact] if isinstance(fact, str) else fact for fact in question["facts"]]
    return all(any(" ".join(way.split()).casefold() in said for way in ways) for ways in facts)


def report(outcomes: Sequence[Outcome]) -> None:
    header = " | ".join(str(depth) for depth in DEPTHS)
    """Tables; on stderr as JSON too, so that two runs can be put together."""
    for one in outcomes:
        print(json.dumps(asdict(one)), file=sys.stderr)
    print("\n## What is found\n")
    print(
        "Documents: a passage of every document that the answer needs is among the first so many hits. Facts: every"
    )
    print(
        "fact of the answer is written in the first so many passages, which for `parent_child` are sections.\n"
    )
    print(f"| strategy | documents {header} | facts {header} | tokens of five passages |")
    print(f"|---|{'---:|' * (2 * len(DEPTHS))}---:|")
    for one in outcomes:
        shares = " | ".join(f"{share:.0%}" for share in (*one.documents, *one.facts))
        print(f"| {one.strategy} | {shares} | {one.read_tokens:,.0f} |")
    print("\n## What it costs\n")
    print("Reading, cutting and embedding all documents of the sample company, on the machine above.\n")
    print("| strategy | chunks | tokens a chunk | seconds | documents with a notice |")
    print("|---|---:|---:|---:|---:|")
    for one in outcomes:
        print(f"| {one.strategy} | {one.chunks:,} | {one.tokens:.0f} | {one.took_s:.0f} | {one.notices} |")


if __name__ == "__main__":
    main()
