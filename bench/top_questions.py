"""How well questions are grouped by what they mean, offline and as they come in, and what one more takes.

    python -m bench.top_questions FOLDER [--split test] > bench/results/top_questions.md

``FOLDER`` holds ``clinc150.json`` (data_full.json of github.com/clinc/oos-eval, CC BY 3.0) and ``banking77.csv`` (train.csv
of github.com/PolyAI-LDN/task-specific-datasets, CC BY 4.0); neither is part of Causeway. Draws of 500 questions, by seed:

- CLINC150: 500 of the split's questions within its 150 intents, each as likely as any other;
- CLINC150, often asked: 25 of its intents, 20 questions of each;
- BANKING77: 500 of its questions, each as likely as any other.

The distance is chosen on CLINC150's training split (``--split train``), the scores to tell are those of the test split. The
measure is the adjusted Rand index (Hubert and Arabie 1985, https://doi.org/10.1007/BF01908075): 0 is chance, 1 is the
intents themselves. As they come in, questions arrive in random order, 64 at a time, and are never grouped anew.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from math import comb
from pathlib import Path
from typing import TypeAlias

from bench.machine import describe, processor_ms
from causeway.contracts.clock import SystemClock
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.models.catalog import Catalog
from causeway.models.model_folder import model_folder
from causeway.models.onnx_embedder import OnnxEmbedder
from causeway.observability.average_linkage import groups_of
from causeway.observability.question_background import QUESTIONS
from causeway.observability.top_questions import (
    JOINS_WITHIN,
    Asked,
    TopQuestions,
    common_of,
    grouped_in_order,
    without_common,
)
from causeway.settings import DatabaseSettings, TelemetrySettings, load
from causeway.storage.database import open_database

Question: TypeAlias = "tuple[str, str]"
"""A text and its intent."""

MODEL = "bge-small-en"
SEEDS = (1, 2, 3, 4, 5)
DISTANCES = (0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=("train", "test"), default="test")
    arguments = parser.parse_args()
    asyncio.run(_measure(arguments.folder, arguments.split))


async def _measure(folder: Path, split: str) -> None:
    card = Catalog.load().get(MODEL)
    embedder = OnnxEmbedder(card, model_folder(card, load().storage.models_dir))
    distance = TelemetrySettings().question_distance
    print("# Top questions\n\nMade by `python -m bench.top_questions`.\n")
    print(describe())
    print(f"\nEmbedding model {MODEL}, CLINC150's {split} split, 500 questions a draw, seeds {SEEDS}.\n")
    clinc = json.loads((folder / "clinc150.json").read_text(encoding="utf-8"))
    within = [(text, intent) for text, intent in clinc[split]]
    with (folder / "banking77.csv").open(encoding="utf-8", newline="") as opened:
        banking = [(row["text"], row["category"]) for row in csv.DictReader(opened)]
    kinds = {
        "CLINC150": [_uniform(within, seed) for seed in SEEDS],
        "CLINC150, often asked": [_often_asked(within, seed) for seed in SEEDS],
        "BANKING77": [_uniform(banking, seed) for seed in SEEDS],
    }
    head = " | ".join(f"{each:.2f}" for each in DISTANCES)
    print(f"Adjusted Rand index by distance, mean of the draws; the setting is {distance:.2f}.\n")
    print(f"| questions | way | {head} |\n|---|---|{'---:|' * len(DISTANCES)}")
    chosen = []
    for kind, draws in kinds.items():
        vectors = [await _embedded(embedder, [text for text, _ in draw]) for draw in draws]
        background = await _embedded(embedder, QUESTIONS)
        offline = {each: _scores(draws, vectors, background, each) for each in DISTANCES}
        online = {each: _scores(draws, vectors, background, each, is_online=True) for each in DISTANCES}
        for way, scores in (("all at once", offline), ("as they come in", online)):
            line = " | ".join(f"{statistics.mean(scores[each]):.3f}" for each in DISTANCES)
            print(f"| {kind} | {way} | {line} |")
            chosen.append((kind, way, scores[distance]))
    print(
        f"\nDraw by draw at {distance:.2f}:\n\n| questions | way | {' | '.join(f'seed {seed}' for seed in SEEDS)} | mean |"
    )
    print(f"|---|---|{'---:|' * (len(SEEDS) + 1)}")
    for kind, way, scores_of in chosen:
        line = " | ".join(f"{each:.3f}" for each in scores_of)
        print(f"| {kind} | {way} | {line} | {statistics.mean(scores_of):.3f} |")
    await _incrementally(embedder, within, distance)


def _uniform(questions: Sequence[Question], seed: int) -> list[Question]:
    return random.Random(seed).sample(list(questions), 500)


def _often_asked(questions: Sequence[Question], seed: int) -> list[Question]:
    chance = random.Random(seed)
    drawn = chance.sample(sorted({intent for _, intent in questions}), 25)
    found = [
        each for intent in drawn for each in chance.sample([one for one in questions if one[1] == intent], 20)
    ]
    chance.shuffle(found)
    return found


async def _embedded(embedder: OnnxEmbedder, texts: Sequence[str]) -> Vectors:
    return (await embedder.embed(EmbedRequest(model=MODEL, texts=tuple(texts)))).vectors


def _scores(
    draws: Sequence[Sequence[Question]],
    vectors: Sequence[Vectors],
    background: Vectors,
    distance: float,
    *,
    is_online: bool = False,
) -> list[float]:
    found = []
    for draw, of in zip(draws, vectors, strict=True):
        if is_online:
            batches = [of[begin : begin + 64] for begin in range(0, len(of), 64)]
            labels = grouped_in_order(batches, background, within=distance * JOINS_WITHIN)
        else:
            labels = [0] * len(draw)
            apart = without_common(of, common_of(background, list(of), len(of)))
            for number, group in enumerate(groups_of(apart, within=distance)):
                for place in group:
                    labels[place] = number
        found.append(adjusted_rand([intent for _, intent in draw], labels))
    return found


def adjusted_rand(truth: Sequence[object], labels: Sequence[object]) -> float:
    """How far two groupings agree beyond chance."""
    both = sum(comb(count, 2) for count in Counter(zip(truth, labels, strict=True)).values())
    of_truth = sum(comb(count, 2) for count in Counter(truth).values())
    of_labels = sum(comb(count, 2) for count in Counter(labels).values())
    expected = of_truth * of_labels / comb(len(truth), 2)
    most = (of_truth + of_labels) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


async def _incrementally(embedder: OnnxEmbedder, questions: Sequence[Question], distance: float) -> None:
    """What one more question takes, embedding and database included, and grouping all anew."""
    with tempfile.TemporaryDirectory(prefix="causeway-") as name:
        database = await open_database(DatabaseSettings(), Path(name))
        clock = SystemClock()

        async def embed(texts: Sequence[str]) -> Vectors:
            return await _embedded(embedder, texts)

        top = TopQuestions(database, embed=embed, space=MODEL, mask=str, distance=distance, clock=clock)
        texts = [text for text, _ in random.Random(0).sample(list(questions), 2_100)]
        now = clock.now()
        asked = [
            Asked(f"{place:032x}", text, now - timedelta(seconds=2_100 - place))
            for place, text in enumerate(texts)
        ]
        for begin in range(0, 2_000, 100):
            async with database.begin() as connection:
                await top.add(connection, asked[begin : begin + 100])
        taken = []
        cpu = processor_ms(Path(name))
        for each in asked[2_000:]:
            began = time.perf_counter()
            async with database.begin() as connection:
                await top.add(connection, [each])
            taken.append((time.perf_counter() - began) * 1000)
        cpu = (processor_ms(Path(name)) - cpu) / len(taken)
        regrouping = processor_ms(Path(name))
        groups = await top.regroup()
        regrouping = processor_ms(Path(name)) - regrouping
        await database.close()
    taken.sort()
    print(
        f"\nOne more question beside 2,000, embedded, put into its group and stored: {cpu:.0f} ms of processor time, the"
        f" database's included; by the clock {statistics.median(taken):.0f} ms, 95th percentile {taken[94]:.0f} ms. Grouping the"
        f" newest 2,000 anew, into {groups} groups: {regrouping / 1000:.1f} s of processor time, in a thread."
    )


if __name__ == "__main__":
    main()
