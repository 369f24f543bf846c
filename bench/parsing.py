"""How well files are read, what reading one costs, and what chunking costs.

    python -m bench.parsing [--documents ../shared/data/documents] [--tokenizer tokenizer.json] > bench/results/parsing.md

Quality, against the truth files of the development documents: the share of the true words that were read in order, and
the share of what was read that is true (difflib's matching blocks); how many headings were found and how many of those
found are headings; how many cells of the tables were found in their row. Costs are of whole child processes, from the
call to the document, as ingestion pays them; on a machine that others use too, compare the processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pypdfium2  # type: ignore[import-untyped]  # it ships no types
from semantic_text_splitter import TextSplitter
from tokenizers import Tokenizer

from bench.machine import describe
from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.chunking import Chunker
from causeway.knowledge.ingest.parse_pdf import parse_pdf
from causeway.knowledge.ingest.pdf_page import read_page
from causeway.knowledge.ingest.pdf_tables import ruled_tables
from causeway.knowledge.ingest.reading import Reading
from causeway.knowledge.ingest.sandbox import ParseLimits, parse
from causeway.knowledge.ingest.warm_sandbox import WarmSandbox

ROOT = Path(__file__).resolve().parents[1]
RUNS = 7
LIMITS = ParseLimits()

FORKING = """
import json, os, resource, statistics, sys, time
from pathlib import Path
import causeway.knowledge.ingest.parse_child, causeway.knowledge.ingest.parse_markdown
from causeway.knowledge.ingest.parser import parse_file
from causeway.knowledge.ingest.reading import Reading
path, walls, spent = Path(sys.argv[1]), [], []
def used():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime
for _ in range(15):
    began, before = time.perf_counter(), used()
    pid = os.fork()
    if pid == 0:
        parse_file(path, name=path.name, reading=Reading())
        os._exit(0)
    os.waitpid(pid, 0)
    walls.append(time.perf_counter() - began)
    spent.append(used() - before)
print(json.dumps([statistics.median(spent), min(walls), statistics.median(walls)]))
"""
"""A warm process that forks a child for each file: what the fresh process is compared with."""

PDFPLUMBER = """
import json, sys, time
import pdfplumber
began, pages, tables = time.process_time(), 0, []
with pdfplumber.open(sys.argv[1]) as document:
    for page in document.pages:
        pages += 1
        tables += [table.extract() for table in page.find_tables()]
print(json.dumps([(time.process_time() - began) / pages, tables]))
"""
IMPORTS = {
    "nothing": "pass",
    "the child": "import causeway.knowledge.ingest.parse_child, causeway.knowledge.ingest.parser",
    "markdown-it-py": "import markdown_it",
    "selectolax": "import selectolax.lexbor",
    "pypdfium2": "import pypdfium2",
    "pdfplumber": "import pdfplumber",
    "xberg": "import xberg",
    "magika and its model": "import magika; magika.Magika()",
}


def main() -> None:
    """Measure and print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=Path, default=ROOT.parent / "shared" / "data" / "documents")
    parser.add_argument(
        "--tokenizer", type=Path, help="the embedding model's tokenizer.json; without it, no chunking"
    )
    options = parser.parse_args()
    print("# Reading files\n")
    print(f"{describe()}\n")
    asyncio.run(_quality(options.documents))
    _refusals(options.documents)
    asyncio.run(_costs(options.documents))
    _imports()
    _pages_per_second(options.documents)
    _tables(options.documents)
    if options.tokenizer:
        _chunking(Tokenizer.from_file(str(options.tokenizer)))


# --- quality -----------------------------------------------------------------------------------------


async def _quality(documents: Path) -> None:
    print("## Quality\n")
    print(
        "| file | words found in order | words read that are true | headings found | of those read, true | cells in their row |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for truth in _truths(documents):
        file = documents / truth["file"]
        parsed = await parse(file, name=file.name, limits=LIMITS)
        recall, precision = _likeness(truth, parsed)
        found, right = _headings(truth, parsed)
        print(
            f"| {truth['file']} | {recall:.3f} | {precision:.3f} | {found} | {right} | {_cells(truth, parsed)} |"
        )
    print("\nA mail's truth is its body; its subject, senders and attachments are read as well.\n")


def _truths(documents: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((documents / "truth").glob("*.json")):
        truth = json.loads(path.read_text(encoding="utf-8"))
        if "text" in truth and truth["kind"] not in ("scan", "photo"):  # `bench/parsing_bars.py` has those
            yield truth


def _likeness(truth: dict[str, Any], parsed: ParsedDocument) -> tuple[float, float]:
    expected = truth["text"].split()
    said = " ".join(_said(parsed.blocks)).split()
    matcher = difflib.SequenceMatcher(None, expected, said, autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return same / len(expected), same / len(said)


def _said(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        yield (
            re.sub(r"\|(?: --- \|)+|[|]|^[-*>] ", " ", block.text) if block.kind != "heading" else block.text
        )


def _headings(truth: dict[str, Any], parsed: ParsedDocument) -> tuple[str, str]:
    expected = {text.casefold() for _, text in truth["headings"]}
    said = [block.text.casefold() for block in parsed.blocks if block.kind == "heading"]
    hits = sum(text in expected for text in said)
    return f"{hits} of {len(expected)}", f"{hits} of {len(said)}"


def _cells(truth: dict[str, Any], parsed: ParsedDocument) -> str:
    rows = {
        tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        for block in parsed.blocks
        if block.kind == "table"
        for line in block.text.split("\n")
    }
    expected = [row for table in truth["tables"] for row in table["rows"]]
    hits = sum(
        max((sum(a == b for a, b in zip(row, said, strict=False)) for said in rows), default=0)
        for row in expected
    )
    return f"{hits} of {sum(map(len, expected))}"


def _refusals(documents: Path) -> None:
    print("## What is refused, and why\n")
    print("| file | what its owner is told |\n| --- | --- |")
    for file in sorted((documents / "hostile").iterdir()):
        try:
            parsed = asyncio.run(parse(file, name=file.name, limits=LIMITS))
            told = f"(read: {len(parsed.blocks)} blocks)"
        except UnreadableDocumentError as exc:
            told = exc.message
        print(f"| {file.relative_to(documents)} | {told} |")
    print()


# --- costs -------------------------------------------------------------------------------------------


async def _costs(documents: Path) -> None:
    samples = ROOT / "samples" / "documents"
    files = [
        *(
            sorted(samples.rglob(f"*{suffix}"))[0]
            for suffix in (".md", ".txt", ".html", ".csv", ".pdf", ".docx", ".pptx", ".xlsx")
        ),
        documents / "mail" / "minutes.eml",
    ]
    print("## Cost of one file\n")
    print(
        "| file | processor time, median | wall clock, fastest | wall clock, median |\n| --- | --- | --- | --- |"
    )
    for file in files:
        walls, spent = [], []
        for _ in range(RUNS):
            began, used = time.perf_counter(), _children_cpu_s()
            await parse(file, name=file.name, limits=LIMITS)
            walls.append(time.perf_counter() - began)
            spent.append(_children_cpu_s() - used)
        times = (statistics.median(spent), min(walls), statistics.median(walls))
        print(f"| {file.suffix[1:]}, {file.stat().st_size / 1000:.0f} kB | {' | '.join(map(_ms, times))} |")
    await _warm_costs(files)
    (markdown,) = (file for file in files if file.suffix == ".md")
    forked = json.loads(_python(FORKING, str(markdown)) or "[]")
    print(f"| the same md, forked from a warm process, nothing else | {' | '.join(map(_ms, forked))} |\n")


async def _warm_costs(files: list[Path]) -> None:
    """The same files through the warm sandbox, as ingestion reads them; its processor time is not this process's to see."""
    async with WarmSandbox(LIMITS) as sandbox:
        for file in files:
            walls = []
            for _ in range(RUNS + 1):
                began = time.perf_counter()
                await sandbox.parse(file, name=file.name)
                walls.append(time.perf_counter() - began)
            walls = walls[1:]
            times = (min(walls), statistics.median(walls))
            print(f"| {file.suffix[1:]}, warm sandbox | - | {' | '.join(map(_ms, times))} |")


def _python(code: str, *arguments: str) -> str:
    """What ``code`` prints in a process of its own; empty when it fails, as for a package that is not installed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else ""


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _imports() -> None:
    print("What the child pays before it reads, a process each:\n")
    print("| imports | processor time, median |\n| --- | --- |")
    for name, code in IMPORTS.items():
        spent = []
        for _ in range(RUNS):
            used = _children_cpu_s()
            _python(code)
            spent.append(_children_cpu_s() - used)
        print(f"| {name} | {_ms(statistics.median(spent))} |")
    print()


def _pages_per_second(documents: Path) -> None:
    print("## A long PDF\n")
    source = pypdfium2.PdfDocument(documents / "pdf" / "minutes.pdf")
    target = pypdfium2.PdfDocument.new()
    for _ in range(300):
        target.import_pages(source)
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        target.save(file.name)
        content = Path(file.name).read_bytes()
    began = time.process_time()
    parse_pdf(content, Reading())
    seconds = time.process_time() - began
    print(
        f"300 pages of 240 words and a ruled table: {300 / seconds:.0f} pages a second, {seconds / 300 * 1000:.1f} ms a page.\n"
    )


def _tables(documents: Path) -> None:
    """Ruled tables: ours beside pdfplumber's, where that is installed."""
    print("## Ruled tables, ours and pdfplumber's\n")
    print(
        "| file | its tables of two columns and more | of these, we have cell by cell | its other tables | its time a page | ours, words included |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for file in (
        *sorted((ROOT / "samples" / "documents").rglob("*.pdf")),
        *sorted((documents / "pdf").glob("*.pdf")),
    ):
        said = _python(PDFPLUMBER, str(file))
        if not said:
            continue
        seconds, theirs = json.loads(said)
        gridded = [table for table in theirs if len(table[0]) > 1]
        began = time.process_time()
        document = pypdfium2.PdfDocument(file)
        pages = [read_page(document, index) for index in range(len(document))]
        ours = [list(map(list, table.rows)) for page in pages for table in ruled_tables(page)[0]]
        spent = (time.process_time() - began) / len(pages)
        same = sum(
            [[" ".join((cell or "").split()) for cell in row] for row in table] in ours for table in gridded
        )
        print(
            f"| {file.name} | {len(gridded)} | {same} | {len(theirs) - len(gridded)} | {_ms(seconds)} | {_ms(spent)} |"
        )
    print()


def _chunking(tokenizer: Tokenizer) -> None:
    print("## Chunking\n")
    blocks = [
        Block(kind="paragraph", text=path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "samples" / "documents").rglob("*.md"))
    ]
    text = "\n\n".join(block.text for block in blocks)
    tokens = len(tokenizer.encode(text, add_special_tokens=False))
    parsed = ParsedDocument(title="", media_type="text/plain", blocks=tuple(blocks))
    ours = _time(lambda: Chunker(tokenizer, max_tokens=320).chunk(parsed, title=""))
    theirs = _time(lambda: TextSplitter.from_huggingface_tokenizer(tokenizer, 320).chunks(text))
    bare = _time(lambda: tokenizer.encode(text, add_special_tokens=False))
    print(f"{len(blocks)} documents as one paragraph each, {tokens} tokens, chunks of at most 320:\n")
    print("| | seconds |\n| --- | --- |")
    print(f"| tokenising once, nothing else | {bare:.2f} |")
    print(f"| `Chunker` | {ours:.2f} |")
    print(f"| semantic-text-splitter with the tokenizer | {theirs:.2f} |")


def _time(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    main()
