"""Whether retrieval votes help and do no harm: the no-harm rule on Cranfield, with simulated votes.

    python -m bench.no_harm --candidates FILE [--product] > bench/results/no_harm.md

Half of Cranfield's 225 queries, by the digest of their text, vote: what search finds among its first 8 and the judges found
relevant, at most 3 passages, is what a confirmed good answer cites. Then all 225 are asked in three arms, as
`causeway.evals.experiments` asks them. Search runs once a query, in a fresh data folder with the real embedder, which has to
be pulled (``causeway models pull``); rerank is off. The arms are laid over its first 100 hits, by the product's own boosts,
placebo and rule; ``--product`` runs the product's experiment too, search by search. FILE keeps the hits for another run.
A second set of votes has one in five cite passages that are not relevant. How far and how near a boost reaches (`MOST`,
`NEAR`) was chosen on half of the pages; the table at the end shows both halves.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import delete, insert

from bench.machine import describe
from bench.retrieval import CALL, Query, embed, fill, read_cranfield
from causeway.evals.experiments import Experiment
from causeway.evals.no_harm import (
    GROUPS,
    Arm,
    Difference,
    Group,
    GroupProof,
    Proof,
    Question,
    learnt_for,
    placebo_of,
    prove,
)
from causeway.evals.ranking import ndcg
from causeway.evals.statistics import clustered_mean
from causeway.evals.suite import Case, Inputs, Metadata
from causeway.knowledge import ConfirmedAnswer, SearchRequest, VoteTable
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.search.retrieval_votes import MOST, NEAR, raised
from causeway.settings import KnowledgeSettings, Settings, StorageSettings, load
from causeway.storage.feedback_schema import collected_cases, confirmed_answers
from causeway.storage.schema import votes
from causeway.wiring import Platform, Work, open_platform

CITED = 3
READ = 8
DEPTH = 100
NOISE = 0.2
OTHERS = (
    (0.6, 0.1),
    (0.6, 0.5),
    (0.7, 0.3),
    (0.75, 0.3),
    (0.8, 0.1),
    (0.8, 0.3),
    (0.8, 0.5),
    (0.85, 0.3),
    (0.9, 0.3),
)
COLLECTION, SUITE = "col_cranfield", "cranfield"


@dataclass(frozen=True)
class Asked:
    """A query, the paper and score of what search finds for it, and its vector."""

    query: Query
    found: Mapping[str, float]
    vector: np.ndarray

    @property
    def page(self) -> str:
        return min(self.query.relevant)

    @property
    def votes(self) -> bool:
        return hashlib.sha256(self.query.text.encode()).digest()[0] % 2 == 0

    @property
    def cited(self) -> list[str]:
        return [paper for paper in list(self.found)[:READ] if paper in self.query.relevant][:CITED]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--candidates", type=Path, required=True, help="what search found is kept here")
    parser.add_argument("--product", action="store_true", help="run the product's own experiment too")
    options = parser.parse_args()
    kept: Path = options.candidates
    print(f"# Retrieval votes: help and harm\n\nMade by `python -m bench.no_harm`.\n\n{describe()}\n")
    asked = read(kept) if kept.exists() else None
    if asked is None or options.product:
        with tempfile.TemporaryDirectory(prefix="causeway-bench-") as folder:
            asked = asyncio.run(measure(Path(folder), is_product=options.product))
        write(kept, asked)
    clean, noisy = simulated(asked, noise=0.0), simulated(asked, noise=NOISE)
    report(laid_over(asked, clean), f"{len(clean)} votes, all right")
    report(laid_over(asked, noisy), f"{len(noisy)} votes, one in five wrong")
    report_others(asked, clean)


def read(kept: Path) -> list[Asked]:
    rows = json.loads(kept.read_text(encoding="utf-8"))
    return [
        Asked(Query(row["text"], row["relevant"]), row["found"], np.array(row["vector"], np.float32))
        for row in rows
    ]


def write(kept: Path, asked: Sequence[Asked]) -> None:
    rows = [
        {
            "text": each.query.text,
            "relevant": dict(each.query.relevant),
            "found": dict(each.found),
            "vector": each.vector.tolist(),
        }
        for each in asked
    ]
    kept.write_text(json.dumps(rows), encoding="utf-8")


async def measure(folder: Path, *, is_product: bool) -> list[Asked]:
    storage = StorageSettings(dir=folder / "data", models_dir=load().storage.models_dir)
    settings = Settings(storage=storage, knowledge=KnowledgeSettings(rerank=False))
    async with open_platform(settings, work=Work.MUST) as platform:
        papers, queries = read_cranfield(225)
        vectors = await embed(platform, [piece.searchable for piece in papers.values()], "document")
        await fill(platform.database, PostgresIndex(platform.database), papers, vectors)
        asked = await ask(platform, queries)
        say("asked")
        if is_product:
            await keep_suite(platform, asked)
            clean = simulated(asked, noise=0.0)
            await keep_votes(platform, asked, clean)
            found = await experiment(platform)
            assert found.proof
            report(found.proof, f"The product's experiment: {len(clean)} votes, all right")
    return asked


def laid_over(asked: Sequence[Asked], cited: Mapping[int, list[str]]) -> Proof:
    """The arms over what search found, as `causeway.evals.measures.RetrievalMeasure` has them."""
    answers, questions, scores = confirmed(asked, cited), [], []
    for number, each in enumerate(asked):
        question = asked_as(number, each)
        off, found = scored(each.found, each), list(each.found)[:50]
        measured: dict[Group, dict[Arm, float]] = {}
        for group, learnt in learnt_for(question, answers).items():
            boosts = VoteTable.of(learnt).boosts(each.vector)
            placebo = placebo_of(boosts, found, question=question.text)
            measured[group] = {
                "off": off,
                "on": scored(raised(each.found, boosts), each),
                "placebo": scored(raised(each.found, placebo), each),
            }
        questions.append(question)
        scores.append(measured)
    return prove(questions, scores, metric="nDCG@10")


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


async def ask(platform: Platform, queries: Sequence[Query]) -> list[Asked]:
    embedded = await embed(platform, [query.text for query in queries], "query")
    asked = []
    for query, vector in zip(queries, embedded, strict=True):
        request = SearchRequest(query=query.text, collection=SUITE, top_k=DEPTH, plain_words=False)
        hits = (await platform.search.search(request, CALL)).hits
        asked.append(Asked(query, {hit.path: hit.score for hit in hits}, vector))
    return asked


def simulated(asked: Sequence[Asked], *, noise: float) -> dict[int, list[str]]:
    """Number of the query -> the papers that its confirmed answer cites."""
    chance = random.Random(31)
    votes: dict[int, list[str]] = {}
    for number, each in enumerate(asked):
        if not each.votes or not each.cited:
            continue
        wrong = [paper for paper in list(each.found)[:READ] if paper not in each.query.relevant]
        is_wrong = chance.random() < noise and len(wrong) > 0
        votes[number] = wrong[: len(each.cited)] if is_wrong else each.cited
    return votes


async def keep_suite(platform: Platform, asked: Sequence[Asked]) -> None:
    rows = []
    for number, each in enumerate(asked):
        documents = tuple(sorted(each.query.relevant))
        case = Case(
            name=f"q{number}",
            inputs=Inputs(question=each.query.text),
            metadata=Metadata(documents=documents, page=documents[0]),
        )
        rows.append(
            {
                "suite": SUITE,
                "name": case.name,
                "trace_id": f"{number:032x}",
                "content": case.model_dump(mode="json"),
                "made_by": "bench",
            }
        )
    async with platform.database.begin() as connection:
        await connection.execute(insert(collected_cases), rows)


async def keep_votes(platform: Platform, asked: Sequence[Asked], cited: Mapping[int, list[str]]) -> None:
    async with platform.database.begin() as connection:
        await connection.execute(delete(votes))
        for number, papers in cited.items():
            trace_id = f"{number:032x}"
            given = {"trace_id": trace_id, "principal_id": "bench", "is_up": True, "state": "confirmed"}
            await connection.execute(insert(votes).values(**given))
            await connection.execute(
                insert(confirmed_answers).values(
                    trace_id=trace_id,
                    principal_id="bench",
                    collection_id=COLLECTION,
                    question=asked[number].query.text,
                    chunk_ids=[f"chk_{paper}_1_0" for paper in papers],
                    document_ids=[f"doc_{paper}" for paper in papers],
                    embedding_model="bge-small-en",
                    vector=asked[number].vector,
                )
            )


async def experiment(platform: Platform) -> Experiment:
    """Started as an administrator does; the platform's own queue does its work."""
    begun = await platform.experiments.start("retrieval-votes", SUITE, SUITE, by="bench")
    found = begun
    for _ in range(3600):
        if found.state in ("done", "failed"):
            break
        await asyncio.sleep(1)
        found = await platform.experiments.one(begun.id)
    if found.proof is None:
        raise SystemExit(f"the experiment failed: {found.problem}")
    return found


# --- reports -------------------------------------------------------------------------------------------


def report(proof: Proof, title: str) -> None:
    print(f"## {title}\n")
    print(
        "| group | questions | arm | nDCG@10 | difference, points | 95 % interval | better | worse |\n|---|---:|---|---:|---:|---|---:|---:|"
    )
    for name in GROUPS:
        if name in proof.groups:
            report_group(name, proof.groups[name])
    verdict = "**accepted**" if proof.is_accepted else "**not accepted**"
    print(f"\nVerdict: {verdict}" + "".join(f"\n- {each}" for each in proof.objections) + "\n")


def report_group(name: str, group: GroupProof) -> None:
    print(f"| {name} | {group.questions} | off | {group.means['off']:.1f} | | | | |")
    print(
        f"| | | on | {group.means['on']:.1f} | {spelt(group.on)} | {group.better} | {group.worse} |\n"
        f"| | | placebo | {group.means['placebo']:.1f} | {spelt(group.placebo)} | | |\n"
        f"| | | on against placebo | | {spelt(group.on_against_placebo)} | | |"
    )


def spelt(difference: Difference) -> str:
    return f"{difference.points:+.2f} | {difference.low:+.2f} to {difference.high:+.2f}"


def report_others(asked: Sequence[Asked], cited: Mapping[int, list[str]]) -> None:
    answers = confirmed(asked, cited)
    print(
        "## Other boosts, votes all right\n\nOn less off, points of nDCG@10 with 95 % intervals. Chosen on the development half "
        "(pages by their digest): the largest gain on touched questions whose lower end on untouched ones is above -1.\n\n"
        "| near | most | untouched, development | touched, development | untouched, held out | touched, held out | untouched, all | touched, all |\n"
        "|---:|---:|---|---|---|---|---|---|"
    )
    for near, most in OTHERS:
        of_group = {group: changes(asked, answers, near, most, group) for group in GROUPS}
        cells = " | ".join(
            cell(of_group[group], half) for half in ("development", "held out", "all") for group in GROUPS
        )
        mark = "**" if (near, most) == (NEAR, MOST) else ""
        print(f"| {mark}{near}{mark} | {mark}{most}{mark} | {cells} |", flush=True)


def changes(
    asked: Sequence[Asked], answers: Sequence[ConfirmedAnswer], near: float, most: float, group: Group
) -> list[tuple[str, float]]:
    """Page and change of the score, of every question of a group."""
    found = []
    for number, each in enumerate(asked):
        learnt = learnt_for(asked_as(number, each), answers)
        if group in learnt:
            boosts = VoteTable.of(learnt[group]).boosts(each.vector, near=near, most=most)
            found.append((each.page, scored(raised(each.found, boosts), each) - scored(each.found, each)))
    return found


def cell(changed: Sequence[tuple[str, float]], half: str) -> str:
    kept = [(page, change) for page, change in changed if half in ("all", half_of(page))]
    shown = Difference.of(clustered_mean([change for _, change in kept], [page for page, _ in kept]))
    return f"{shown.points:+.2f} [{shown.low:+.2f}, {shown.high:+.2f}]"


def half_of(page: str) -> str:
    return "held out" if hashlib.sha256(page.encode()).digest()[0] % 2 else "development"


def asked_as(number: int, each: Asked) -> Question:
    return Question(text=each.query.text, documents=tuple(each.query.relevant), origin=f"{number:032x}")


def confirmed(asked: Sequence[Asked], cited: Mapping[int, list[str]]) -> list[ConfirmedAnswer]:
    return [
        ConfirmedAnswer(
            trace_id=f"{number:032x}",
            question=asked[number].query.text,
            answer=None,
            chunk_ids=tuple(papers),
            document_ids=tuple(papers),
            embedding_model="",
            vector=asked[number].vector,
        )
        for number, papers in cited.items()
    ]


def scored(scores: Mapping[str, float], each: Asked) -> float:
    best = sorted(scores, key=lambda paper: (-scores[paper], paper))[:10]
    gold = set(each.query.relevant)
    ideal = ndcg(list(gold)[:10], set(list(gold)[:10]))
    whole = ndcg(best, gold)
    if len(gold) <= 10:
        return whole / ideal
    most = sum(1 / np.log2(place + 2) for place in range(len(gold)))
    return float(whole * most / sum(1 / np.log2(place + 2) for place in range(10)))


if __name__ == "__main__":
    main()
