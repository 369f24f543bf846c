"""What places and past revisions take: bytes a page, and what an edit costs.

    python -m bench.places [--scans ../shared/data/documents/scan] [--part bytes] > bench/results/places.md

Ingests scans and the sample company's PDFs end to end and asks the database what the words of each scanned page and the
places of each page's passages take; beside it, what the same words take as JSON, plain and deflated. Then a document of
about 200 passages is added and edited through the same door, with the real embedding model, and the spans of each
ingestion tell how many passages were embedded. The models have to be pulled (``causeway models pull``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from bench.machine import describe
from causeway.contracts.identity import SYSTEM
from causeway.knowledge.page_words import PageWords
from causeway.observability.trace_search import TraceQuery
from causeway.settings import Settings, StorageSettings, load
from causeway.wiring import Platform, Work, open_platform, sample_documents

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = 200
WORDS = [
    "tent",
    "boot",
    "rain",
    "stove",
    "lantern",
    "valley",
    "ridge",
    "river",
    "night",
    "summit",
    "map",
    "compass",
    "rope",
    "anchor",
    "snow",
    "wind",
    "shelter",
    "path",
    "water",
    "fire",
    "wool",
    "bag",
    "mug",
    "knife",
    "torch",
    "hut",
    "pass",
    "glacier",
    "meadow",
    "forest",
]


@dataclass(frozen=True)
class Edit:
    """What became of one change of the long document."""

    name: str
    chunks: int
    embedded: int
    wall_s: float
    past_bytes: int

    def row(self) -> str:
        return f"| {self.name} | {self.chunks} | {self.embedded} | {self.wall_s:.2f} | {self.past_bytes / 1000:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=Path, default=ROOT.parent / "shared" / "data" / "documents" / "scan")
    parser.add_argument("--part", choices=("bytes", "edits"), help="only this half")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as folder:
        asyncio.run(measure(options.scans, Path(folder), part=options.part))


async def measure(scans: Path, folder: Path, *, part: str | None) -> None:
    settings = Settings(storage=StorageSettings(dir=folder / "data", models_dir=load().storage.models_dir))
    async with open_platform(settings, work=Work.MUST) as platform:
        print(f"# Places and past revisions\n\n{describe()}\n")
        if part != "edits":
            await ingest_folder(platform, "scans", copied(scans, folder / "scans"))
            await ingest_folder(
                platform, "born-digital PDFs", copied(sample_documents(), folder / "pdf", "*.pdf")
            )
            await print_bytes(platform)
        if part != "bytes":
            await print_edits(platform)


async def ingest_folder(platform: Platform, name: str, root: Path) -> None:
    summary = await platform.folders.wait(await platform.folders.sync(root, name))
    if summary.failed:
        raise SystemExit(f"these could not be read: {summary.failed}")


def copied(source: Path, target: Path, pattern: str = "*") -> Path:
    target.mkdir()
    for file in sorted(source.rglob(pattern)):
        if file.is_file():
            shutil.copy2(file, target / file.name)
    return target


async def print_bytes(platform: Platform) -> None:
    async with platform.database.connect() as connection:
        packed = (await connection.execute(text("SELECT words FROM page_words"))).scalars().all()
        places = (
            await connection.execute(
                text(
                    "SELECT collections.name, sum(pg_column_size(places)) AS bytes,"
                    " sum(jsonb_array_length(places)) AS places, count(*) AS chunks,"
                    " (SELECT sum(pages) FROM documents WHERE collection_id = collections.id) AS pages"
                    " FROM chunks JOIN collections ON collections.id = chunks.collection_id"
                    " GROUP BY collections.id ORDER BY collections.name"
                )
            )
        ).all()
    pages = [PageWords.unpack(each).words for each in packed]
    written = [json.dumps(page, separators=(",", ":")).encode() for page in pages]
    words = sum(map(len, pages))
    print(
        f"## Words of scanned pages\n\n{len(pages)} pages, {words} words, {words / len(pages):.0f} a page.\n"
    )
    print("| form | bytes a page | bytes a word |\n|---|---:|---:|")
    for name, size in (
        ("**packed** (`page_words.words`)", sum(map(len, packed))),
        ("JSON, deflated", sum(len(zlib.compress(each, 9)) for each in written)),
        ("JSON", sum(map(len, written))),
        ("the text alone, deflated", sum(len(zlib.compress(text_of(page).encode(), 9)) for page in pages)),
    ):
        print(f"| {name} | {size / len(pages):,.0f} | {size / words:.1f} |")
    print("\n## Places of passages (`chunks.places`)\n")
    print(
        "| documents | pages | passages | places | bytes a page | bytes a passage |\n|---|---:|---:|---:|---:|---:|"
    )
    for row in places:
        print(
            f"| {row.name} | {row.pages} | {row.chunks} | {row.places} | {row.bytes / row.pages:,.0f}"
            f" | {row.bytes / row.chunks:,.0f} |"
        )


def text_of(page: tuple[tuple[object, ...], ...]) -> str:
    return " ".join(str(word[0]) for word in page)


async def print_edits(platform: Platform) -> None:
    rng = random.Random(20260801)
    sections = [f"## Section {n}\n\n{prose(rng)}" for n in range(SECTIONS)]
    title = "# Handbook"

    def inserted() -> None:
        sections.insert(0, f"## Foreword\n\n{prose(rng)}")

    def edited() -> None:
        sections[SECTIONS // 2] = sections[SECTIONS // 2].replace(". ", ", as was agreed in May. ", 1)

    def removed() -> None:
        del sections[SECTIONS // 3]

    def renamed() -> None:
        nonlocal title
        title = "# The handbook"

    changes: list[tuple[str, Callable[[], None]]] = [
        ("added", lambda: None),
        ("a paragraph edited", edited),
        ("a section inserted before all others", inserted),
        ("a section removed", removed),
        ("its title changed, which stands in every passage", renamed),
    ]
    print("\n## What an edit costs\n")
    print("`past, kB` is what the revision that was replaced takes in the database, beside its file.\n")
    print("| change | passages | embedded | s until searchable | past, kB |\n|---|---:|---:|---:|---:|")
    for name, change in changes:
        change()
        print((await ingested(platform, name, "\n\n".join([title, *sections]))).row())


def prose(rng: random.Random) -> str:
    return " ".join(" ".join(rng.choices(WORDS, k=12)).capitalize() + "." for _ in range(16))


async def ingested(platform: Platform, name: str, content: str) -> Edit:
    before = await past_bytes(platform)
    started = time.perf_counter()
    async with platform.uploads.arriving("handbook.md") as arrival:
        await arrival.write(content.encode())
        added = await arrival.add(by=SYSTEM, collection="handbook")
    while (await platform.library.progress([added.document_id])).done == 0:  # noqa: ASYNC110 - the worker is elsewhere
        await asyncio.sleep(0.01)
    wall_s = time.perf_counter() - started
    document = await platform.library.document(added.document_id)
    if document.failure:
        raise SystemExit(document.failure)
    await platform.traces.find(TraceQuery(limit=1))  # writes what is waiting
    async with platform.database.connect() as connection:
        embedded = await connection.scalar(
            text(
                "SELECT attributes ->> 'causeway.chunks.embedded' FROM spans WHERE name = 'embed'"
                " ORDER BY started_at DESC LIMIT 1"
            )
        )
    return Edit(name, document.chunks, int(embedded or 0), wall_s, await past_bytes(platform) - before)


async def past_bytes(platform: Platform) -> int:
    sizes = " + ".join(
        f"(SELECT coalesce(sum(pg_column_size({name}.*)), 0) FROM {name})"
        for name in ("past_revisions", "past_chunks")
    )
    async with platform.database.connect() as connection:
        return int(await connection.scalar(text(f"SELECT {sizes}")) or 0)


if __name__ == "__main__":
    main()
