"""Whether follow-up questions find what they are about: as they are, beside the question before, and rewritten.

    python -m bench.follow_ups > bench/results/follow_ups.md

Conversations about the sample company in ``bench/follow_ups.jsonl``: a first question, its answer, a question that leans
on it, and the document that tells. Search without rerank; rewriting by the local chat model, which has to be pulled.
A last part asks questions that stand alone after a conversation about something else: they must stay as they are.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.machine import describe
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.knowledge import Exchange, SearchRequest
from causeway.knowledge.answer.follow_up import leans, standalone
from causeway.prompts.shelf import Shelf
from causeway.settings import Settings, StorageSettings, load
from causeway.wiring import Platform, Work, open_platform, sample_documents

ROOT = Path(__file__).parent.parent
CALL = Call(principal=SYSTEM, purpose="bench")
DEPTHS = (1, 3, 5)


def main() -> None:
    print(f"# Follow-up questions\n\nMade by `python -m bench.follow_ups`.\n\n{describe()}\n")
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as folder:
        asyncio.run(measure(Path(folder)))


async def measure(folder: Path) -> None:
    storage = StorageSettings(dir=folder / "data", models_dir=load().storage.models_dir)
    rows = [json.loads(line) for line in (ROOT / "bench" / "follow_ups.jsonl").read_text().splitlines()]
    async with open_platform(Settings(storage=storage), work=Work.MUST) as platform:
        await platform.folders.wait(await platform.folders.sync(sample_documents()))
        ranks: dict[str, list[int]] = {"as it is": [], "beside the question before": [], "rewritten": []}
        took_s, said = [], []
        for row in rows:
            before = (Exchange(row["before"], row["answer"]),)
            started = time.perf_counter()
            meant = await standalone(
                row["question"], before, gateway=platform.gateway, prompts=Shelf.packaged(), call=CALL
            )
            took_s.append(time.perf_counter() - started)
            beside = f"{row['before']} {row['question']}"
            said.append((row["question"], meant.question, meant.question == beside))
            for name, query in zip(ranks, (row["question"], beside, meant.question), strict=True):
                ranks[name].append(await rank(platform, query, row["document"]))
        report(ranks, took_s, said)
        alone = [json.loads(line) for line in (ROOT / "samples" / "questions.jsonl").read_text().splitlines()]
        asked = [row["question"] for row in alone]
        share = np.mean([leans(question) for question in asked])
        print(
            f"\nOf {len(asked)} questions that stand alone, {share:.0%} would be given to the model when asked second."
        )


async def rank(platform: Platform, query: str, document: str) -> int:
    found = await platform.search.search(SearchRequest(query=query, top_k=10, rerank=False), CALL)
    paths = list(dict.fromkeys(hit.path for hit in found.hits))
    return paths.index(document) + 1 if document in paths else 99


def report(ranks: dict[str, list[int]], took_s: list[float], said: list[tuple[str, str, bool]]) -> None:
    print(f"{len(said)} follow-ups; the share whose document is among the first:\n")
    print(f"| the question | {' | '.join(map(str, DEPTHS))} |\n|---|{'---:|' * len(DEPTHS)}")
    for name, found in ranks.items():
        shares = [f"{np.mean([one <= depth for one in found]):.0%}" for depth in DEPTHS]
        print(f"| {name} | {' | '.join(shares)} |")
    middle, high = np.percentile(took_s, [50, 95])
    unfaithful = sum(is_beside for _, _, is_beside in said)
    print(f"\nRewriting takes {middle:.1f} s (p95 {high:.1f}); {unfaithful} rewritings were not taken.\n")
    print("| asked | understood |\n|---|---|")
    for question, meant, is_beside in said:
        print(f"| {question} | {'*not taken*: ' if is_beside else ''}{meant} |")


if __name__ == "__main__":
    main()
