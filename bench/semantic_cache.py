"""How often the semantic cache finds a paraphrase, how often it answers the wrong question, and how long a hit takes.

    python -m bench.semantic_cache [--rounds 3] > bench/results/semantic_cache.md

The pairs are those of ``tests/gateway/pairs``: a question that is asked, one whose reply is stored, and whether the reply
answers both. The word lists were written with the development half in view; the held-out half has topics of its own. Reworded
near misses are made of both kinds: what means the same as a question, against what only looks like it. Model:
``bge-small-en``, which has to be pulled. Intervals are Wilson's, 95 %. The latency is that of `ReplyCache.find` for hits,
its embedding included, in a partition of 1,000 questions; stages are timed one by one in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import describe
from causeway.contracts.chat import ChatReply, ChatRequest, Message, StopReason, Usage
from causeway.contracts.clock import SystemClock
from causeway.contracts.identity import SYSTEM
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.gateway.differences import Difference, find_difference
from causeway.gateway.lexicon import packaged
from causeway.gateway.question_vector import QuestionVector
from causeway.gateway.reply_cache import ReplyCache
from causeway.gateway.wording import read
from causeway.models.catalog import Catalog
from causeway.models.model_folder import model_folder
from causeway.models.onnx_embedder import OnnxEmbedder
from causeway.settings import TierSettings, load

MODEL = "bge-small-en"
PAIRS = Path(__file__).parent.parent / "tests" / "gateway" / "pairs"
THRESHOLDS = (0.0, 0.8, 0.84, 0.86, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98)
DEFAULT = TierSettings().cache_similarity
QUESTIONS = 1000
REPLY = ChatReply(text="A reply. " * 40, model="m", stop_reason=StopReason.END, usage=Usage(20, 80))


@dataclass(frozen=True)
class Compared:
    topic: str
    asked: str
    stored: str
    same: bool
    similarity: float
    difference: Difference | None


async def main() -> None:
    """Measure and print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(
        f"# Semantic cache\n\nMade by `python -m bench.semantic_cache`; its docstring says how.\n\n{describe()}\n"
    )
    card = Catalog.load().get(MODEL)
    embedder = OnnxEmbedder(card, model_folder(card, load().storage.models_dir))
    try:
        halves = {
            name: [await compared(embedder, json.loads(line)) for line in lines(name)]
            for name in ("development", "held_out")
        }
        for name, pairs in halves.items():
            print_quality(name, pairs)
            print_reworded([await compared(embedder, pair) for pair in reworded(pairs)])
        await print_latency(embedder, [pair for pairs in halves.values() for pair in pairs], rounds)
    finally:
        await embedder.close()


def lines(name: str) -> list[str]:
    return (PAIRS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()


async def embed(embedder: OnnxEmbedder, text: str) -> Vectors:
    """One text, as the gateway embeds a question."""
    found = await embedder.embed(EmbedRequest(model=MODEL, texts=(text,), kind="query"))
    row: Vectors = found.vectors[0]
    return row


async def compared(embedder: OnnxEmbedder, pair: dict[str, str | bool]) -> Compared:
    asked, stored = str(pair["asked"]), str(pair["stored"])
    similarity = float(await embed(embedder, asked) @ await embed(embedder, stored))
    lexicon = packaged()
    difference = find_difference(read(asked, lexicon), read(stored, lexicon), lexicon, similarity=similarity)
    return Compared(str(pair["topic"]), asked, stored, bool(pair["same"]), similarity, difference)


# --- quality -------------------------------------------------------------------------------------------


def print_quality(name: str, pairs: Sequence[Compared]) -> None:
    same = [pair for pair in pairs if pair.same]
    near = [pair for pair in pairs if not pair.same]
    topics = len({pair.topic for pair in pairs})
    print(
        f"## {name.replace('_', ' ').capitalize()}: {len(same)} paraphrases, {len(near)} near misses, {topics} topics\n"
    )
    print(
        "| least cosine | paraphrases found, no guard | false hits, no guard | **found** | **false hits** |"
    )
    print("|---|---|---|---|---|")
    for threshold in sorted({*THRESHOLDS, DEFAULT}):
        label = f"**{threshold:.2f}**, the default" if threshold == DEFAULT else f"{threshold:.2f}"
        cells = [
            share(sum(pair.similarity >= threshold for pair in side), len(side)) for side in (same, near)
        ] + [share(hits(side, threshold), len(side)) for side in (same, near)]
        print(f"| {label} | {' | '.join(cells)} |")
    print()
    forbade = Counter(pair.difference.kind for pair in near if pair.difference is not None)
    print(
        "Near misses were forbidden by: "
        + ", ".join(f"{kind} {count}" for kind, count in forbade.most_common())
        + ".\n"
    )
    for pair in near:
        if pair.similarity >= DEFAULT and pair.difference is None:
            print(f"- false hit, {pair.similarity:.3f}: {pair.asked} / {pair.stored}")
    missed = Counter(pair.difference.kind for pair in same if pair.difference is not None)
    print(
        "Paraphrases were missed by: "
        + ", ".join(f"{kind} {count}" for kind, count in missed.most_common())
        + ".\n"
    )


def reworded(pairs: Sequence[Compared]) -> list[dict[str, str | bool]]:
    """Every paraphrase of a question beside every near miss of it."""
    return [
        {"topic": same.topic, "asked": same.stored, "stored": other.stored, "same": False}
        for same in pairs
        for other in pairs
        if same.asked == other.asked and same.same and not other.same
    ]


def print_reworded(pairs: Sequence[Compared]) -> None:
    without = sum(pair.similarity >= DEFAULT for pair in pairs)
    print(
        f"Reworded near misses, at {DEFAULT}: false hits {share(hits(pairs, DEFAULT), len(pairs))},"
        f" without the guard {share(without, len(pairs))}, of {len(pairs)}.\n"
    )


def hits(pairs: Sequence[Compared], threshold: float) -> int:
    return sum(pair.similarity >= threshold and pair.difference is None for pair in pairs)


def share(count: int, of: int) -> str:
    """A percentage with its Wilson interval."""
    z = 1.96
    rate = count / of
    middle = (rate + z * z / (2 * of)) / (1 + z * z / of)
    reach = z / (1 + z * z / of) * math.sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))
    return f"{100 * rate:.1f} % ({100 * max(0, middle - reach):.1f}-{100 * (middle + reach):.1f})"


# --- latency -------------------------------------------------------------------------------------------


async def print_latency(embedder: OnnxEmbedder, pairs: Sequence[Compared], rounds: int) -> None:
    tracemalloc.start()
    packaged.cache_clear()
    started = time.perf_counter()
    packaged()
    load_ms = 1000 * (time.perf_counter() - started)
    lexicon_mb = tracemalloc.get_traced_memory()[0] / 1e6
    tracemalloc.stop()
    cache = ReplyCache(clock=SystemClock(), ttl_s=3600, most_bytes=64_000_000)
    tier = TierSettings(cache="semantic")
    stored = list(dict.fromkeys([pair.stored for pair in pairs]))[:QUESTIONS]
    for text in stored:
        await cache.keep(ask(text), SYSTEM, tier, REPLY, question=question(embedder, text))
    kept = set(stored)
    asked = [pair.asked for pair in pairs if pair.same and pair.difference is None and pair.stored in kept]
    asked = [text for text in dict.fromkeys(asked) if text not in kept]
    stages: dict[str, list[float]] = {
        "hit": [],
        "embedding alone": [],
        "everything else": [],
        "exact hit": [],
    }
    for _ in range(rounds):
        for text in asked:
            started = time.perf_counter()
            found = await cache.find(ask(text), SYSTEM, tier, question=question(embedder, text))
            took = time.perf_counter() - started
            if found is None or found.kind != "semantic":
                continue
            stages["hit"].append(took)
            started = time.perf_counter()
            vector = await embed(embedder, text)
            embedded = time.perf_counter()
            await cache.find(ask(text), SYSTEM, tier, question=ready(text, vector))
            stages["embedding alone"].append(embedded - started)
            stages["everything else"].append(time.perf_counter() - embedded)
        for text in stored[:200]:
            started = time.perf_counter()
            await cache.find(ask(text), SYSTEM, tier, question=question(embedder, text))
            stages["exact hit"].append(time.perf_counter() - started)
    print(
        f"## Latency of a hit, ms\n\n{len(stored)} questions in the partition, {len(stages['hit'])} semantic hits.\n"
    )
    print("| | p50 | p95 |\n|---|---|---|")
    for name, seconds in stages.items():
        cuts = statistics.quantiles(seconds, n=20)
        print(f"| {name} | {1000 * statistics.median(seconds):.2f} | {1000 * cuts[-1]:.2f} |")
    print(f"\nThe word lists take {load_ms:.0f} ms to read (while memory is traced) and {lexicon_mb:.1f} MB.")


def ask(text: str) -> ChatRequest:
    return ChatRequest(model="chat", messages=(Message("system", "Be brief."), Message("user", text)))


def question(embedder: OnnxEmbedder, text: str) -> QuestionVector:
    async def embedded(asked: str) -> Vectors:
        return await embed(embedder, asked)

    return QuestionVector(text, embedded, model=MODEL)


def ready(text: str, vector: Vectors) -> QuestionVector:
    async def known(asked: str) -> Vectors:  # noqa: ARG001 - it is the same text
        return vector

    return QuestionVector(text, known, model=MODEL)


if __name__ == "__main__":
    asyncio.run(main())
