"""How fast files become searchable, and whether embedding keeps the cores busy.

    python -m bench.ingestion [--documents 300] [--compare 1200] > bench/results/ingestion.md

Copies the sample company's documents until there are enough, ingests them end to end with the real embedding model in
a fresh data folder, then embeds the very same chunks again: in bare onnxruntime loops (sorted by length, in batches,
every core; with threads that spin while they wait, as is the default, and with threads that sleep), and through the
gateway as ingestion does, several documents at a time. They are run in turns, so that whatever else the machine does hits
all; the best run of each counts. Spinning threads take processor time without working when others want the cores, so on a
busy machine compare with the sleeping ones. The model has to be pulled (``causeway models pull``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
import psutil
from tokenizers import Tokenizer

from bench.machine import describe
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import EmbedRequest
from causeway.knowledge.ingest.in_parallel import in_parallel
from causeway.knowledge.ingest.pipeline import EMBEDDED_AT_ONCE
from causeway.models.catalog import Catalog
from causeway.models.model_folder import model_folder
from causeway.settings import Settings, StorageSettings, load
from causeway.wiring import Platform, Work, open_platform, sample_documents

T = TypeVar("T")

ROUNDS = 3
BARE_BATCHES = (8, 16, 32)
MOST_TOKENS = 512


@dataclass(frozen=True)
class Spent:
    """Wall time, and the processor time of this process and of all its descendants, ended or not."""

    wall_s: float
    own_s: float
    children_s: float

    def row(self, name: str, count: int) -> str:
        """Of a table: how fast, on how much of the cores, and how much for a second of one core."""
        share = self.own_s / self.wall_s / (os.cpu_count() or 1)
        return f"| {name} | {count / self.wall_s:.1f} | {share:.0%} | {count / self.own_s:.1f} |"


class Watch:
    """Measures from its making to `read`."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._own, self._children = _own_s(), _children_s()

    def read(self) -> Spent:
        return Spent(
            time.perf_counter() - self._wall,
            _own_s() - self._own,
            _children_s() - self._children,
        )


def _own_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _children_s() -> float:
    """Readers are forked by a warm process that outlives them: its account of ended children holds them."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children():
        if "postgres" not in child.name():
            seconds += sum(child.cpu_times()[:4])
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--compare", type=int, default=1200, help="chunks for the embedding stage alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as folder:
        root = Path(folder) / "documents"
        count = copy_documents(sample_documents(), root, options.documents)
        asyncio.run(measure(root, count, Path(folder) / "data", compared=options.compare))


def copy_documents(source: Path, root: Path, count: int) -> int:
    """Copies of the documents in folders of their own until there are ``count``."""
    files = sorted(each for each in source.rglob("*") if each.is_file())
    for number in range(count):
        file = files[number % len(files)]
        target = root / f"copy {number // len(files)}" / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    return count


async def measure(root: Path, count: int, data: Path, *, compared: int) -> None:
    found = load()
    storage = StorageSettings(dir=data, models_dir=found.storage.models_dir)
    settings = Settings(storage=storage)
    async with open_platform(settings, work=Work.MUST) as platform:
        watch = Watch()
        summary = await platform.folders.sync(root)
        queued = watch.read()
        summary = await platform.folders.wait(summary)
        whole = watch.read()
        texts = await texts_by_document(platform)
        total = sum(map(len, texts))
        print("# Ingestion\n")
        print(f"{describe()}\n")
        print(
            f"{count} documents (the sample company's, copied), {total} chunks, {len(summary.failed)} failed.\n"
        )
        print("| end to end | |\n|---|---:|")
        print(f"| all files stored and queued | {queued.wall_s:.1f} s |")
        print(f"| all documents ready | {whole.wall_s:.1f} s |")
        print(f"| documents/s | {count / whole.wall_s:.2f} |")
        print(f"| chunks/s | {total / whole.wall_s:.1f} |")
        print(f"| processor time: Causeway | {whole.own_s:.1f} s |")
        print(f"| processor time: parsing processes | {whole.children_s:.1f} s |")
        await compare(platform, settings, some(texts, compared))


async def texts_by_document(platform: Platform) -> list[tuple[str, ...]]:
    texts: list[tuple[str, ...]] = []
    while page := (await platform.library.documents(limit=100, offset=len(texts))).documents:
        for document in page:
            chunks = await platform.library.text_of(document.id)
            texts.append(tuple(chunk.searchable for chunk in chunks))
    return texts


def some(texts: Sequence[tuple[str, ...]], most: int) -> list[tuple[str, ...]]:
    chosen: list[tuple[str, ...]] = []
    for each in texts:
        if sum(map(len, chosen)) + len(each) > most:
            break
        chosen.append(each)
    return chosen


async def compare(platform: Platform, settings: Settings, documents: Sequence[tuple[str, ...]]) -> None:
    """The embedding stage beside the bare loop."""
    flat = [text for document in documents for text in document]
    spinning, sleeping = BareLoop(settings, spins=True), BareLoop(settings, spins=False)
    batch = max(BARE_BATCHES, key=lambda size: -timed(lambda: spinning.embed(flat[:64], size)))
    turns: dict[str, Callable[[], Awaitable[None]]] = {
        f"bare loop, batches of {batch}, threads spin": lambda: asyncio.to_thread(
            spinning.embed, flat, batch
        ),
        f"bare loop, batches of {batch}, threads sleep": lambda: asyncio.to_thread(
            sleeping.embed, flat, batch
        ),
        "through the gateway": lambda: embed_as_ingestion_does(platform, settings, documents),
    }
    best: dict[str, Spent] = {}
    for _ in range(ROUNDS):
        for name, turn in turns.items():
            watch = Watch()
            await turn()
            spent = watch.read()
            if name not in best or spent.wall_s < best[name].wall_s:
                best[name] = spent
    stage = best["through the gateway"]
    print(f"\n{len(flat)} chunks of {len(documents)} documents, best of {ROUNDS} turns:\n")
    print("| embedding alone | chunks/s | of the cores | chunks per processor second |\n|---|---:|---:|---:|")
    for name, spent in best.items():
        print(spent.row(name, len(flat)))
    loops = [spent for spent in best.values() if spent is not stage]
    print(
        f"\nThrough the gateway is {min(loop.wall_s for loop in loops) / stage.wall_s:.2f} of the faster bare loop by the"
        f" clock and {min(loop.own_s for loop in loops) / stage.own_s:.2f} of the thriftier one by processor time, which"
        " other programs on the machine disturb less."
    )


async def embed_as_ingestion_does(
    platform: Platform, settings: Settings, documents: Sequence[tuple[str, ...]]
) -> None:
    call = Call(principal=SYSTEM, purpose="ingest")

    async def embed(texts: tuple[str, ...]) -> None:
        await platform.gateway.embed(EmbedRequest(model="embed", texts=texts), call)

    async def document(texts: tuple[str, ...]) -> None:
        await in_parallel(map(embed, batches(texts, EMBEDDED_AT_ONCE)), at_once=2)

    await in_parallel(map(document, documents), at_once=settings.knowledge.workers)


class BareLoop:
    """What embedding costs with nothing around it."""

    def __init__(self, settings: Settings, *, spins: bool) -> None:
        folder = model_folder(Catalog.load().get(settings.models.embed), settings.storage.models_dir)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spins else "0")
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str], batch: int) -> None:
        encoded = sorted((each.ids for each in self._tokenizer.encode_batch_fast(list(texts))), key=len)
        for part in batches(tuple(encoded), batch):
            ids = np.zeros((len(part), max(map(len, part))), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, tokens in enumerate(part):
                ids[row, : len(tokens)] = tokens
                mask[row, : len(tokens)] = 1
            given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            (states, *_) = self._session.run(
                None, {name: value for name, value in given.items() if name in self._inputs}
            )
            first = states[:, 0]
            first / np.linalg.norm(first, axis=1, keepdims=True)


def batches(items: tuple[T, ...], size: int) -> Iterator[tuple[T, ...]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
