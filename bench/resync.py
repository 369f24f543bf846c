"""How long a folder of 10,000 files that nobody changed takes to be looked through again.

    python -m bench.resync [--files 10000] [--rounds 5] > bench/results/resync.md

Writes the files (a heading and a paragraph each, in folders of a hundred), ingests them in a fresh data folder with the real
embedding model, then syncs the folder again and again: as it is, with every file's time of change moved on
though its bytes are the same (so that each has to be read), and with one file in a hundred changed. A round that has
done more or less than it should have ends the run. The model has to be pulled (``causeway models pull``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from bench.machine import describe
from causeway.settings import Settings, StorageSettings, load
from causeway.wiring import Platform, Work, open_platform

_TO_A_FOLDER = 100
_PARAGRAPH = (
    "Order {number} left the warehouse on shelf {shelf}. It was weighed, packed by team {team} and handed to the carrier; "
    "the invoice went out the same day. Returns of it are taken at the counter within thirty days."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5, help="of each kind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="causeway-bench-") as folder:
        root = Path(folder) / "documents"
        for number in range(options.files):
            write(root, number)
        asyncio.run(measure(root, options.files, options.rounds, Path(folder) / "data"))


def write(root: Path, number: int, *, edition: int = 0) -> None:
    """One file; another ``edition`` has other words."""
    file = root / f"batch {number // _TO_A_FOLDER:03d}" / f"order {number:05d}.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = _PARAGRAPH.format(number=number, shelf=number % 97, team=(number + edition) % 13)
    file.write_text(f"# Order {number}\n\n{text}\n", encoding="utf-8")


async def measure(root: Path, count: int, rounds: int, data: Path) -> None:
    """Ingest, then sync again, and print."""
    settings = Settings(storage=StorageSettings(dir=data, models_dir=load().storage.models_dir))
    async with open_platform(settings, work=Work.MUST) as platform:
        started = time.perf_counter()
        first = await platform.folders.wait(await platform.folders.sync(root))
        whole_s = time.perf_counter() - started
        assert (len(first.new), len(first.failed)) == (count, 0), first.failed
        print(f"# Looking through a folder again\n\n{describe()}\n")
        print(
            f"{count:,} files in {count // _TO_A_FOLDER} folders, stored, read, embedded and searchable in {whole_s:.0f} s.\n"
        )
        print("| synced again | files changed | median | slowest |\n|---|---:|---:|---:|")
        unchanged = [await timed(platform, root, count, changed=0) for _ in range(rounds)]
        print(row("as they are", 0, unchanged))
        touched = []
        for _ in range(rounds):
            touch(root)
            touched.append(await timed(platform, root, count, changed=0))
        print(row("every file touched, bytes the same", 0, touched))
        edited = []
        for edition in range(1, rounds + 1):
            for number in range(0, count, 100):
                write(root, number, edition=edition)
            edited.append(await timed(platform, root, count, changed=-(-count // 100)))
        print(row("one in a hundred edited, until searchable", -(-count // 100), edited))


def touch(root: Path) -> None:
    """Move on every file's time of change."""
    for file in root.rglob("*.md"):
        os.utime(file)


async def timed(platform: Platform, root: Path, count: int, *, changed: int) -> float:
    """Seconds of one sync, until what it found is searchable."""
    started = time.perf_counter()
    summary = await platform.folders.wait(await platform.folders.sync(root))
    took_s = time.perf_counter() - started
    assert (len(summary.unchanged), len(summary.changed)) == (count - changed, changed), summary.failed
    return took_s


def row(name: str, changed: int, times_s: list[float]) -> str:
    """Of the table."""
    return f"| {name} | {changed} | {statistics.median(times_s):.2f} s | {max(times_s):.2f} s |"


if __name__ == "__main__":
    main()
