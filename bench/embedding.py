"""How fast Causeway embeds, against a bare onnxruntime loop over the same sorted batches.

    python -m bench.embedding [--chunks 64] [--rounds 6] > bench/results/embedding.md

Both take turns in one process, so what else the machine does falls on both; a ratio is computed per round, and the
median of the ratios counts. On a busy machine compare the processor time instead: it hardly depends on the others.
Texts are the Cranfield abstracts. A third turn asks for the same chunks in eight calls
at the same time, as eight documents being ingested do, and a fourth takes batches of 32 in order of arrival. The
model has to be pulled: ``causeway models pull bge-small-en``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it has no stubs
import tokenizers

from bench.machine import describe
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.models.catalog import Catalog
from causeway.models.cores import usable_cores
from causeway.models.model_folder import model_folder
from causeway.models.onnx_embedder import OnnxEmbedder
from causeway.settings import load

MODEL = "bge-small-en"
CORPUS = Path(__file__).resolve().parents[2] / "shared/data/cranfield/corpus.jsonl"
BUDGET_TOKENS = 512
CALLS = 8

Turn = Callable[[], Awaitable[object]]


class Bare:
    """What somebody would write without Causeway: load, sort, batch, run."""

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(512)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Batches of similar length, within the same token budget."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda at: -len(ids[at]))
        vectors = np.zeros((len(ids), 384), np.float32)
        while order:
            size = max(1, BUDGET_TOKENS // len(ids[order[0]]))
            batch, order = order[:size], order[size:]
            vectors[batch] = self.run([ids[at] for at in batch])
        return vectors

    def embed_unsorted(self, texts: Sequence[str]) -> None:
        """Batches of 32 in order of arrival."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        for start in range(0, len(ids), 32):
            self.run(ids[start : start + 32])

    def run(self, ids: Sequence[Sequence[int]]) -> Vectors:
        """One padded batch."""
        tokens = np.zeros((len(ids), max(map(len, ids))), np.int64)
        mask = np.zeros_like(tokens)
        for row, sequence in enumerate(ids):
            tokens[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        fed = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        first: Vectors = self.session.run(None, fed)[0][:, 0]
        unit: Vectors = first / np.linalg.norm(first, axis=1, keepdims=True)
        return unit


async def main() -> None:
    """Measure and print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chunks", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args()
    machine = describe()
    texts = _chunks(arguments.chunks)
    card = Catalog.load().get(MODEL)
    folder = model_folder(card, load().storage.models_dir)
    bare, ours = Bare(folder), OnnxEmbedder(card, folder)

    async def in_calls() -> None:
        async with asyncio.TaskGroup() as group:
            for call in range(CALLS):
                group.create_task(ours.embed(_request(texts[call::CALLS])))

    turns: dict[str, Turn] = {
        "bare loop": lambda: asyncio.to_thread(bare.embed, texts),
        "Causeway, one call": lambda: ours.embed(_request(texts)),
        f"Causeway, {CALLS} calls at once": in_calls,
        "bare loop, unsorted batches of 32": lambda: asyncio.to_thread(bare.embed_unsorted, texts),
    }
    for turn in (bare.embed, bare.embed_unsorted):  # memory is allocated, caches are warm
        turn(texts[:40])
    together = (await ours.embed(_request(texts[:40]))).vectors
    walls: dict[str, list[float]] = {name: [] for name in turns}
    processor: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(arguments.rounds):
        for name, turn_ in turns.items():
            started, worked = time.perf_counter(), time.process_time()
            await turn_()
            walls[name].append((time.perf_counter() - started) / len(texts))
            processor[name].append((time.process_time() - worked) / len(texts))
    alone = np.concatenate([(await ours.embed(_request([text]))).vectors for text in texts[:40]])
    await ours.close()
    print(_page(machine, texts, bare, _table(walls, processor), np.sum(alone * together, axis=1)))


def _chunks(count: int) -> list[str]:
    """Abstracts cut to the size of chunks: at most 1,400 characters, some 320 tokens."""
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    texts = (json.loads(line)["text"][:1400] for line in lines)
    return [text for text in texts if text.strip()][:count]


def _request(texts: Sequence[str]) -> EmbedRequest:
    return EmbedRequest(model=MODEL, texts=tuple(texts))


def _table(walls: dict[str, list[float]], processor: dict[str, list[float]]) -> list[str]:
    def share(seconds: dict[str, list[float]], name: str) -> str:
        pairs = zip(seconds["bare loop"], seconds[name], strict=True)
        return f"{statistics.median(bare / one for bare, one in pairs):.2f}"

    return [
        f"| {name} | {1 / statistics.median(found):.1f} | {1 / min(found):.1f} | {share(walls, name)} |"
        f" {statistics.median(processor[name]) * 1000:.1f} | {share(processor, name)} |"
        for name, found in walls.items()
    ]


def _page(machine: str, texts: Sequence[str], bare: Bare, table: Sequence[str], cosines: Vectors) -> str:
    tokens = statistics.mean(len(encoding) for encoding in bare.tokenizer.encode_batch(texts))
    return "\n".join(
        (
            "# Embedding",
            "",
            "Made by `python -m bench.embedding`; its docstring says how. The bar is 0.9 of the bare loop.",
            "",
            machine,
            "",
            f"{len(texts)} chunks of {tokens:.0f} tokens in the mean, taking turns. Shares are of the bare loop's speed,"
            " medians over the rounds.",
            "",
            "| | chunks/s, median | best | share | processor ms a chunk | share |",
            "|---|---|---|---|---|---|",
            *table,
            "",
            f"Cosine between a chunk's vector alone and in company: {cosines.min():.4f} at worst,"
            f" {cosines.mean():.4f} in the mean ({len(cosines)} chunks); the int8 scales are taken from the batch.",
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
