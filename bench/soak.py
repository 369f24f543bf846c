"""Is the index equal to a folder after an hour's work on it in fast-forward, with three kill -9 in between?

    python -m bench.soak [--operations 10000] [--kills 3] [--seed 1] [--scripted] > bench/results/soak.md

Runs what a user runs: ``causeway up``, and beside it ``causeway ingest FOLDER --watch``. Meanwhile a script works in the
folder (`bench.soak_tree`) at the pace of a few dozen operations a second, with rests in which the watch comes round. At
checkpoints it stops and waits until index and folder are equal, then renames files and folders while the watch goes on
and looks whether their documents kept their ids. In the end everything is compared: each path, each file's bytes, each
note's words in its chunks, and the search for words that are gone. The embedder is the local one; ``--scripted``
takes vectors made of words.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil
from sqlalchemy import select

from bench.machine import describe
from bench.soak_tree import Expected, Tree, words_of
from causeway.settings import DatabaseSettings, child_environment, load
from causeway.storage.data_folder import DataFolder
from causeway.storage.database import Database, open_database
from causeway.storage.schema import chunks, documents, past_revisions
from causeway.wiring import sample_documents

_SCRIPTED = """
[models]
chat = "words/chat"
fast = "words/chat"
embed = "words/embed"
rerank = ""
[providers.words]
kind = "scripted"
"""
_CONVERGES_S = 240.0
_SAMPLED_EVERY_S = 0.1
_NURSERY = "causeway.knowledge.ingest.parse_nursery"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--checkpoints", type=int, default=5, help="how often both are compared")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause-ms", type=float, default=20.0, help="between operations, on average")
    parser.add_argument("--scripted", action="store_true", help="vectors made of words, no model")
    options = parser.parse_args()
    plan = Plan(
        operations=options.operations,
        kills=options.kills,
        checkpoints=options.checkpoints,
        seed=options.seed,
        pause_s=options.pause_ms / 1000,
        is_scripted=options.scripted,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    # Not a folder of root's own: PostgreSQL does not run as root.
    with tempfile.TemporaryDirectory(prefix="causeway-soak-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        result = asyncio.run(soak(plan, Path(folder)))
    print(report(plan, result))
    sys.exit(0 if result.is_clean else 1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is done, and how fast."""

    operations: int
    kills: int
    checkpoints: int
    seed: int
    pause_s: float
    is_scripted: bool


@dataclass
class Result:
    """What came of it.

    Attributes:
        problems: What differed when it should have been equal, by when it was looked at.
        waits_s: How long index and folder took to become equal once the work stopped.
        renamed: Files that were renamed while the watch went on, and of these, documents that kept their ids.
        ended: How often a process ended that nobody had killed.
    """

    done: dict[str, int] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    waits_s: list[float] = field(default_factory=list)
    renamed: int = 0
    kept: int = 0
    lost: list[str] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    seconds: float = 0.0
    files: int = 0
    revisions: int = 0
    failed: int = 0
    blobs: int = 0
    blobs_needed: int = 0
    searched: int = 0
    memory: list[Sample] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong."""
        return not any(self.problems.values()) and self.kept == self.renamed and not self.ended


@dataclass(frozen=True)
class Sample:
    """Memory at one moment, in bytes; of the reading processes the largest, those that stand ready included."""

    at_s: float
    service: int
    watch: int
    nursery: int
    reader: int
    reader_address_space: int
    readers: int
    descriptors: int


# --- the processes ---------------------------------------------------------------------------------------


class Processes:
    """``causeway up`` and ``causeway ingest --watch``, as a user starts them."""

    def __init__(self, folder: Path, root: Path, *, is_scripted: bool) -> None:
        config = folder / "causeway.toml"
        config.write_text(f'[storage]\ndir = "{folder / "data"}"\n{_SCRIPTED if is_scripted else ""}')
        self._environment = child_environment(CAUSEWAY_CONFIG=str(config))
        self._causeway = str(Path(sys.executable).with_name("causeway"))
        self._root = root
        self._log = folder / "log"
        self.service: subprocess.Popen[bytes] | None = None
        self.watch: subprocess.Popen[bytes] | None = None
        self.address = ""
        self.key = ""
        self.ended: list[str] = []

    def start(self) -> None:
        """Start what does not run."""
        if self.service is None or self.service.poll() is not None:
            self.service = self._run(["up", "--port", "0"], subprocess.PIPE)
            self._greeted(self.service)
        if self.watch is None or self.watch.poll() is not None:
            self.watch = self._run(["ingest", str(self._root), "--watch"], subprocess.DEVNULL)

    def _run(self, arguments: Sequence[str], out: int) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [self._causeway, *arguments], env=self._environment, stdout=out, stderr=log
            )

    def _greeted(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        said = b""
        for line in process.stdout:
            said += line
            if b"Ctrl+C" in line:
                break
        address = re.search(rb"http://\S+", said)
        if address is None:
            raise RuntimeError(f"causeway up ended early: {self._log.read_text()[-2000:]}")
        self.address = address[0].decode()
        if key := re.search(rb"cw-\S+", said):
            self.key = key[0].decode()

    def kill(self, which: str) -> None:
        """SIGKILL to the service, the watch or both."""
        for name in ("service", "watch"):
            process = getattr(self, name)
            if which in (name, "both") and process is not None:
                process.kill()
                _ended(process)
                setattr(self, name, None)

    def look(self) -> None:
        """Note, and start again, what ended by itself."""
        for name in ("service", "watch"):
            process = getattr(self, name)
            if process is not None and process.poll() is not None:
                _ended(process)
                tail = self._log.read_text(errors="replace")[-600:]
                self.ended.append(f"{name} with code {process.returncode}: {tail}")
        self.start()

    def stop(self) -> None:
        """A clean end: the watch first."""
        for process in (self.watch, self.service):
            if process is not None:
                process.send_signal(signal.SIGINT)  # nothing happens when it has ended
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                _ended(process)

    def search(self, query: str) -> list[dict[str, Any]]:
        """Hits, by the service's own door."""
        body = json.dumps({"query": query, "top_k": 5}).encode()
        headers = {"Authorization": f"Bearer {self.key}", "content-type": "application/json"}
        request = urllib.request.Request(f"{self.address}/api/search", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return list(json.load(answer)["hits"])


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Take leave of a process that ends, or has."""
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


class Meter:
    """Samples memory in a thread until stopped."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.samples: list[Sample] = []
        self._began = time.monotonic()

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLED_EVERY_S):
            try:
                self.samples.append(self._sample())
            except (psutil.Error, AttributeError):
                continue  # a process went while it was looked at

    def _sample(self) -> Sample:
        service, watch = self._processes.service, self._processes.watch
        whole = psutil.Process(service.pid) if service else None
        nursery = readers = 0
        most = space = 0
        for child in whole.children() if whole else ():
            if _NURSERY in child.cmdline():
                nursery = child.memory_info().rss
                for reader in child.children():
                    readers += 1
                    most = max(most, reader.memory_info().rss)
                    space = max(space, reader.memory_info().vms)
        return Sample(
            at_s=time.monotonic() - self._began,
            service=whole.memory_info().rss if whole else 0,
            watch=psutil.Process(watch.pid).memory_info().rss if watch else 0,
            nursery=nursery,
            reader=most,
            reader_address_space=space,
            readers=readers,
            descriptors=whole.num_fds() if whole else 0,
        )


# --- the soak --------------------------------------------------------------------------------------------


async def soak(plan: Plan, folder: Path) -> Result:
    """Work in a folder, kill, wait, compare."""
    root = folder / "tree"
    root.mkdir()
    random = Random(plan.seed)
    samples = [
        each
        for each in sorted(sample_documents().rglob("*"))
        if each.suffix in (".pdf", ".docx", ".xlsx", ".eml")
    ]
    tree = Tree(root, random, samples=samples)
    processes = Processes(folder, root, is_scripted=plan.is_scripted)
    result = Result()
    began = time.monotonic()
    meter = Meter(processes)
    try:
        await asyncio.to_thread(processes.start)
        with meter.running():
            await _work(plan, tree, processes, result, DataFolder(folder / "data"), random)
            await _search_for_all(tree, processes, result)
    finally:
        processes.stop()
    result.seconds = time.monotonic() - began
    result.done = dict(tree.done)
    result.ended = processes.ended
    result.memory = meter.samples
    return result


async def _work(
    plan: Plan, tree: Tree, processes: Processes, result: Result, data: DataFolder, random: Random
) -> None:
    kills = dict(
        zip(
            sorted(random.sample(range(50, plan.operations), plan.kills)),
            ("both", "service", "watch") * plan.kills,
            strict=False,
        )
    )
    checks = {plan.operations * (n + 1) // plan.checkpoints for n in range(plan.checkpoints)}
    restart_at = -1
    database = await open_database(DatabaseSettings(), data.postgres)
    try:
        for number in range(1, plan.operations + 1):
            tree.work()
            await asyncio.sleep(random.expovariate(1 / plan.pause_s))
            if number in kills:
                await asyncio.to_thread(processes.kill, kills[number])
                result.kills.append(f"{kills[number]} after operation {number}")
                restart_at = number + random.randrange(5, 60)
            if number == restart_at:
                await asyncio.to_thread(processes.start)
            if number % 200 == 0:  # people rest, and search, and the watch comes round
                await asyncio.sleep(random.uniform(1.0, 5.0))
                if not (set(kills) & set(range(number - 80, number + 1))):
                    await asyncio.to_thread(processes.look)
                    await asyncio.to_thread(processes.search, "what does a note say of tents?")
            if number in checks:
                await asyncio.to_thread(processes.start)
                await _check(tree, processes, database, result, f"operation {number}", random)
                waits = ", ".join(f"{each:.0f} s" for each in result.waits_s[-2:])
                wrong = sum(map(len, result.problems.values()))
                print(
                    f"{number} operations; equal after {waits}; {wrong} wrong; {result.kept} of {result.renamed} kept",
                    file=sys.stderr,
                    flush=True,
                )
        await _count(database, data, result)
    finally:
        await database.close()


async def _check(
    tree: Tree, processes: Processes, database: Database, result: Result, when: str, random: Random
) -> None:
    tree.settle()
    result.problems[when] = await _converge(tree, processes, database, result)
    ids = await _ids(database)
    renames: dict[str, str] = {path: path for path in tree.expected()}
    for _ in range(3):  # in three goes, with the watch coming round in between
        moved = dict(tree.rename_some(8))
        renames = {first: moved[now] for first, now in renames.items() if now in moved}
        await asyncio.sleep(random.uniform(0.5, 4.0))
    result.problems[f"{when}, after renaming"] = await _converge(tree, processes, database, result)
    now = await _ids(database)
    for first, last in renames.items():
        if first != last:
            result.renamed += 1
            if ids[first] == now.get(last):
                result.kept += 1
            else:
                result.lost.append(f"{first} -> {last}")


async def _converge(tree: Tree, processes: Processes, database: Database, result: Result) -> list[str]:
    """Wait until index and folder are equal; what is not when patience ends."""
    expected = tree.expected()
    began = time.monotonic()
    while True:
        problems = await differences(database, expected)
        waited = time.monotonic() - began
        if not problems or waited > _CONVERGES_S:
            result.waits_s.append(waited)
            return problems
        await asyncio.sleep(0.5)
        await asyncio.to_thread(processes.look)


async def differences(database: Database, expected: dict[str, Expected]) -> list[str]:
    """How what is indexed differs from what ought to be."""
    columns = [
        documents.c[name]
        for name in ("id", "path", "blob", "ready_blob", "state", "revision", "ready_revision", "failure")
    ]
    async with database.connect() as connection:
        rows = (await connection.execute(select(*columns))).all()
        pieces = await connection.execute(
            select(chunks.c.document_id, chunks.c.text).order_by(chunks.c.ordinal)
        )
        texts: dict[str, list[str]] = {}
        for piece in pieces:
            texts.setdefault(piece.document_id, []).append(piece.text)
    by_path = {row.path: row for row in rows}
    found = [f"ghost: {path!r}" for path in by_path.keys() - expected.keys()]
    found += [f"missing: {path!r}" for path in expected.keys() - by_path.keys()]
    for path in by_path.keys() & expected.keys():
        row, want = by_path[path], expected[path]
        said = words_of(" ".join(texts.get(row.id, ())))
        if row.state not in ("ready", "failed"):
            found.append(f"not done: {path!r} is {row.state}")
        elif row.blob != want.sha256:
            found.append(f"other bytes: {path!r}")
        elif want.text is not None and said != want.text:
            found.append(f"other words: {path!r} ({row.state}) says {said[:80]!r}, not {want.text[:80]!r}")
        elif row.state == "ready" and (row.ready_blob != row.blob or row.ready_revision != row.revision):
            found.append(f"ready, and not the newest: {path!r}")
        elif row.state == "failed" and want.text:
            found.append(f"failed: {path!r}: {row.failure}")
    return sorted(found)


async def _ids(database: Database) -> dict[str, str]:
    async with database.connect() as connection:
        rows = await connection.execute(select(documents.c.path, documents.c.id))
        return {row.path: row.id for row in rows}


async def _count(database: Database, data: DataFolder, result: Result) -> None:
    async with database.connect() as connection:
        rows = (await connection.execute(select(documents))).all()
        past = (await connection.scalars(select(past_revisions.c.blob))).all()
    result.files = len(rows)
    result.revisions = sum(row.revision for row in rows)
    result.failed = sum(row.state == "failed" for row in rows)
    needed = {blob for row in rows for blob in (row.blob, row.ready_blob, *past) if blob}
    result.blobs_needed = len(needed)
    result.blobs = sum(1 for each in data.blobs.glob("??/??/*"))


async def _search_for_all(tree: Tree, processes: Processes, result: Result) -> None:
    """Each note's own word is found in it, and words that are gone are found nowhere."""
    there: dict[str, set[str]] = {}
    for file in tree.files():  # a text may have been written over a file of another kind
        for token in re.findall(rb"qz\d{6}x", file.read_bytes()):
            there.setdefault(token.decode(), set()).add(file.relative_to(tree.root).as_posix())
    random = Random(7)
    gone = sorted({f"qz{n:06d}x" for n in range(1, tree.written + 1)} - there.keys())
    wrong: list[str] = []
    asked = random.sample(sorted(there), min(150, len(there))) + random.sample(gone, min(150, len(gone)))
    for token in asked:
        hits = await asyncio.to_thread(processes.search, token)
        paths = {hit["path"] for hit in hits if token in hit["text"]}
        if paths - there.get(token, set()):
            wrong.append(f"ghost: '{token}' is found in {sorted(paths)}")
        if token in there and not paths:
            wrong.append(f"not found: '{token}' of {sorted(there[token])}")
    result.searched = len(asked)
    result.problems["search"] = wrong


# --- what it says ----------------------------------------------------------------------------------------


def report(plan: Plan, result: Result) -> str:
    """The page of results."""
    embedder = "vectors made of words" if plan.is_scripted else f"{load().models.embed}, the local embedder"
    kinds = ", ".join(
        f"{name} {count}" for name, count in sorted(result.done.items(), key=lambda each: -each[1])
    )
    wrong = {when: found for when, found in result.problems.items() if found}
    user = "root: nothing can be kept from it" if os.geteuid() == 0 else "an ordinary user"
    lines = [
        "# A folder at work, and its index",
        "",
        f"Made by `python -m bench.soak --operations {plan.operations} --seed {plan.seed}`.",
        "",
        describe(),
        "",
        f"{sum(result.done.values()):,} operations in {result.seconds:,.0f} seconds on a watched folder, beside `causeway up` and"
        f" `causeway ingest FOLDER --watch` ({embedder}; run by {user}). kill -9: {'; '.join(result.kills)}.",
        "",
        f"What was done: {kinds}.",
        "",
        "| | |",
        "|---|---:|",
        f"| files in the end | {result.files} |",
        f"| revisions of these | {result.revisions} |",
        f"| of these, cannot be read and say why | {result.failed} |",
        f"| times that index and folder were compared | {len(result.waits_s)} |",
        f"| differences (ghosts, missing, other bytes, other words) | {sum(map(len, wrong.values()))} |",
        f"| longest wait until they were equal, once the work stopped | {max(result.waits_s, default=0):.1f} s |",
        f"| files renamed or moved while the watch went on | {result.renamed} |",
        f"| of these, documents that kept their ids | {result.kept} |",
        f"| words searched for, there and gone | {result.searched} |",
        f"| processes that ended by themselves | {len(result.ended)} |",
        f"| stored files, and those that a document or a kept revision needs | {result.blobs}, {result.blobs_needed} |",
        "",
        *_memory(result.memory),
    ]
    lines += [
        f"\nWrong at {when}:\n\n" + "\n".join(f"- {each}" for each in found[:20])
        for when, found in wrong.items()
    ]
    lines += [f"\nAnother document: {each}" for each in result.lost]
    lines += [f"\nEnded: {each}" for each in result.ended]
    return "\n".join(lines)


def _memory(samples: list[Sample]) -> list[str]:
    """Memory in ten stretches of time."""
    if not samples:
        return []
    lines = [
        f"Memory in MB, sampled every {_SAMPLED_EVERY_S:g} s: the median of each tenth of the time, and the most of the processes that read. "
        "The first search after a start loads the models of searching, 140 MB.",
        "",
        "| from, s | `up` | its open files | the watch | warm reader | a reading process, most | its address space, most | at once, most |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    tenth = max(1, -(-len(samples) // 10))
    for first in range(0, len(samples), tenth):
        part = samples[first : first + tenth]
        medians = [
            _median([getattr(each, name) for each in part]) for name in ("service", "watch", "nursery")
        ]
        mb = [f"{value / 1e6:.0f}" for value in medians]
        most = max(each.reader for each in part) / 1e6
        space = max(each.reader_address_space for each in part) / 1e6
        open_files = _median([each.descriptors for each in part])
        lines.append(
            f"| {part[0].at_s:.0f} | {mb[0]} | {open_files} | {mb[1]} | {mb[2]} | {most:.0f} | {space:.0f} |"
            f" {max(each.readers for each in part)} |"
        )
    return lines


def _median(values: list[int]) -> int:
    there = sorted(value for value in values if value) or [0]
    return there[len(there) // 2]


if __name__ == "__main__":
    main()
