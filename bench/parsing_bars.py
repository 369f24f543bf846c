"""How far reading is from its bars: character errors, tables, and time beside the bare libraries.

    OMP_THREAD_LIMIT=1 python -m bench.parsing_bars --quality-only > bench/results/parsing_bars.md
    OMP_THREAD_LIMIT=1 python -m bench.parsing_bars --times-only > bench/results/parsing_times.md

``--documents FOLDER`` names the development documents. Times want a quiet machine, and one thread for bare Tesseract, too:
with two it takes both cores for a page, as two readers here do for two.

Errors are Levenshtein's, over the truth's length, with every run of white space as one space; a table's text counts cell
by cell. Tables are compared by which cell is beside and below which (adjacency, as in ICDAR 2013), over letters and
digits. Scans "of our own" are the sample company's PDFs, drawn and spoilt with a fixed seed, their truth what the PDF's
own text gives. Times are taken in turns, ours and bare, and the ratio of the medians is what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no types
import tesserocr  # type: ignore[import-untyped]  # it ships no types
from PIL import Image, ImageFilter

from bench.machine import describe
from causeway.compiled import compiled
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest import ocr, ocr_rapid, ocr_tesseract
from causeway.knowledge.ingest.ocr_engine import OcrEngine
from causeway.knowledge.ingest.parse_pdf import parse_pdf
from causeway.knowledge.ingest.parser import parse_bytes
from causeway.knowledge.ingest.pdf_blocks import blocks_of
from causeway.knowledge.ingest.pdf_layout import read_in_order
from causeway.knowledge.ingest.pdf_running import without_running_lines
from causeway.knowledge.ingest.reading import Reading
from causeway.knowledge.ingest.sandbox import ParseLimits
from causeway.knowledge.ingest.warm_sandbox import WarmSandbox

ROOT = Path(__file__).resolve().parents[1]
TESSDATA = "/usr/share/tesseract-ocr/5/tessdata"
RUNS = 5
COPIES = (40, 1)
REST_S = 0.1
READING = Reading(threads=2)
SPOILT = {"office, 200 dpi": 200, "turned by 90": 200, "turned by 270": 150, "noisy, 150 dpi": 150}
SPOILT |= {"fax, 100 dpi": 100, "faded, 150 dpi": 150, "askew by 5": 150}


def main() -> None:
    """Measure and print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=Path, default=ROOT.parent / "shared" / "data" / "documents")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--times-only", action="store_true", help="not how well files are read")
    only.add_argument("--quality-only", action="store_true", help="not how long it takes")
    options = parser.parse_args()
    reader = "compiled" if compiled("reader") else "not compiled"
    print(f"# Reading files against the bars\n\n{describe()}\n- PDF reader: {reader}\n")
    if not options.times_only:
        _accuracy(options.documents)
        _own_scans()
        _engines(options.documents)
    if not options.quality_only:
        asyncio.run(_born_digital_times(options.documents))
        asyncio.run(_ocr_times(options.documents))


# --- accuracy ----------------------------------------------------------------------------------------


def _accuracy(documents: Path) -> None:
    print("## Development documents\n")
    print("| file | character errors | tables: adjacency F1 | invented tables |\n| --- | --- | --- | --- |")
    rates: dict[str, list[float]] = {}
    for truth in _truths(documents):
        parsed = parse_bytes((documents / truth["file"]).read_bytes(), name=truth["file"], reading=READING)
        rate = error_rate(truth["text"], said(parsed.blocks))
        rates.setdefault(
            "scans and photos" if truth["kind"] in ("scan", "photo") else "born digital", []
        ).append(rate)
        tables = [
            table["rows"] if not table.get("header") else [table["header"], *table["rows"]]
            for table in truth["tables"]
        ]
        found = tables_of(parsed)
        score = f"{adjacency_f1(tables, found):.3f}" if tables else "-"
        print(f"| {truth['file']} | {rate:.4f} | {score} | {max(0, len(found) - len(tables))} |")
    for kind, each in rates.items():
        print(f"| **{kind}, mean** | **{statistics.fmean(each):.4f}** | | |")
    print()


def _truths(documents: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((documents / "truth").glob("*.json")):
        truth = json.loads(path.read_text(encoding="utf-8"))
        if "text" in truth and truth["kind"] != "eml":  # a mail says more than its body
            yield truth


def said(blocks: Iterable[Block]) -> str:
    """The blocks' text, tables cell by cell."""
    return " ".join(
        " ".join(re.sub(r"\|(?: --- \|)+|(?<!\\)\|", " ", block.text).split())
        if block.kind == "table"
        else block.text
        for block in blocks
    )


def error_rate(truth: str, text: str) -> float:
    """Levenshtein's distance over the truth's length (Myers, 1999: a column of the table in the bits of a number)."""
    truth, text = " ".join(truth.split()), " ".join(text.split())
    places: dict[str, int] = {}
    for place, letter in enumerate(truth):
        places[letter] = places.get(letter, 0) | 1 << place
    mask, high = (1 << len(truth)) - 1, 1 << (len(truth) - 1)
    up, down, distance = mask, 0, len(truth)
    for letter in text:
        equal = places.get(letter, 0)
        across = equal | down
        diagonal = (((equal & up) + up) ^ up) | equal
        right, left = down | (~(diagonal | up) & mask), up & diagonal
        distance += bool(right & high) - bool(left & high)
        right, left = (right << 1 | 1) & mask, left << 1 & mask
        up, down = left | (~(across | right) & mask), right & across
    return distance / len(truth)


def tables_of(parsed: ParsedDocument) -> list[list[list[str]]]:
    """The cells of each table."""
    return [
        [
            re.split(r"(?<!\\)\|", line)[1:-1]
            for line in block.text.split("\n")
            if not line.startswith("| ---")
        ]
        for block in parsed.blocks
        if block.kind == "table"
    ]


def adjacency_f1(truth: Sequence[Sequence[Sequence[str]]], found: Sequence[Sequence[Sequence[str]]]) -> float:
    """How many neighbours in one are neighbours in the other."""
    expected, have = _neighbours(truth), _neighbours(found)
    hits = len(expected & have)
    return 2 * hits / (len(expected) + len(have)) if expected or have else 1.0


def _neighbours(tables: Sequence[Sequence[Sequence[str]]]) -> set[tuple[str, str, str]]:
    pairs = set()
    for table in tables:
        cells = [[re.sub(r"\W+", "", str(cell)).casefold() for cell in row] for row in table]
        for line, row in enumerate(cells):
            for column, cell in enumerate(row):
                if cell and column + 1 < len(row):
                    pairs.add((cell, row[column + 1], "beside"))
                if cell and line + 1 < len(cells) and column < len(cells[line + 1]):
                    pairs.add((cell, cells[line + 1][column], "below"))
    return pairs


# --- scans of our own --------------------------------------------------------------------------------


def _own_scans() -> None:
    print("## Scans of our own\n")
    print(
        "| spoilt how | pages | character errors, mean | tables: adjacency F1, mean |\n| --- | --- | --- | --- |"
    )
    files = [
        file for file in sorted((ROOT / "samples" / "documents").rglob("*.pdf")) if "scan" not in file.name
    ]
    random = np.random.default_rng(5)
    everything: list[tuple[float, float]] = []
    for kind, dpi in SPOILT.items():
        rates, pages = [], 0
        for file in files:
            document = pdfium.PdfDocument(file)
            pictures = [_spoilt(_drawn(page, dpi), kind, random) for page in document]
            pages += len(pictures)
            truth = parse_bytes(file.read_bytes(), name=file.name, reading=READING)
            parsed = parse_bytes(_pdf_of(pictures, dpi), name="scan.pdf", reading=READING)
            rates.append(
                (
                    error_rate(said(truth.blocks), said(parsed.blocks)),
                    adjacency_f1(tables_of(truth), tables_of(parsed)),
                )
            )
        everything += rates
        print(f"| {kind} | {pages} | {_mean(rates, 0)} | {_mean(rates, 1)} |", flush=True)
    print(f"| **all, mean of files** | | **{_mean(everything, 0)}** | **{_mean(everything, 1)}** |\n")


def _mean(rates: Sequence[tuple[float, float]], place: int) -> str:
    return f"{statistics.fmean(rate[place] for rate in rates):.4f}"


def _drawn(page: pdfium.PdfPage, dpi: float) -> Image.Image:
    picture: Image.Image = page.render(scale=dpi / 72, grayscale=True).to_pil()
    return picture


def _spoilt(picture: Image.Image, kind: str, random: np.random.Generator) -> Image.Image:
    if kind.startswith("turned"):
        return picture.transpose(Image.Transpose.ROTATE_90 if "90" in kind else Image.Transpose.ROTATE_270)
    if kind.startswith("fax"):
        return picture.point(lambda value: 255 if value > 150 else 0)
    degrees = {"office": 0.6, "noisy": -1.7, "askew": 5.0}.get(kind.split()[0].strip(","), 0.0)
    turned = picture.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255)
    light = np.asarray(turned, dtype=np.float32)
    if kind.startswith("noisy"):
        grey = Image.fromarray(
            np.clip(light * 0.8 + 30 + random.normal(0, 22, light.shape), 0, 255).astype(np.uint8)
        )
        return grey.filter(ImageFilter.GaussianBlur(0.6))
    if kind.startswith("faded"):
        faded = 235 - (255 - light) * 0.32 + random.normal(0, 9, light.shape)
        return Image.fromarray(np.clip(faded, 0, 255).astype(np.uint8))
    return turned


def _pdf_of(pictures: Sequence[Image.Image], dpi: float) -> bytes:
    file = io.BytesIO()
    pictures[0].save(file, "PDF", save_all=True, append_images=pictures[1:], resolution=dpi, quality=65)
    return file.getvalue()


# --- engines -----------------------------------------------------------------------------------------


def _engines(documents: Path) -> None:
    print("## The two engines, on the development scans\n")
    print("| engine | character errors, mean | seconds a page, median |\n| --- | --- | --- |")
    found: tuple[OcrEngine | None, ...] = (ocr_tesseract.engine(("eng",)), ocr_rapid.engine("compared"))
    for engine in found:
        if engine is None:
            continue
        rates, times = [], []
        for truth in _truths(documents):
            if truth["kind"] != "scan":
                continue
            page = pdfium.PdfDocument(documents / truth["file"])[0]
            picture = _drawn(page, ocr.DPI)
            began = time.perf_counter()
            read, _ = ocr.read_picture(picture, engine, number=1, dpi=ocr.DPI, timeout_s=120)
            times.append(time.perf_counter() - began)
            items = without_running_lines(read_in_order(read), {1: read.height}, is_ocr=True)
            rates.append(error_rate(truth["text"], said(blocks_of(items, {1: read.sheet}))))
        print(f"| {engine.name} | {statistics.fmean(rates):.4f} | {statistics.median(times):.2f} |")
    print()


# --- times -------------------------------------------------------------------------------------------


async def _born_digital_times(documents: Path) -> None:
    print("## Born-digital PDFs beside bare text extraction\n")
    print(
        "Bare is pypdfium2's `get_text_bounded` of every page. Ours is all that a reader is for: layout, tables, headings and"
        " places. *In one process* is its processor time, the least of a few turns. *Waited for* is the wall clock from the"
        " call of the warm sandbox to the document handed over, which has its language, too, the medians of turns, by one"
        f" process and by two, as a service does whose other core is idle; each after a rest of {REST_S:g} s, in which readers"
        " get ready for the next file.\n"
    )
    async with (
        WarmSandbox(ParseLimits(threads=1)) as one,
        WarmSandbox(ParseLimits(threads=2)) as two,
    ):
        for sandbox in (one, two):
            await sandbox.parse(documents / "pdf" / "letter.pdf", name="warm.pdf")
        for copies in COPIES:
            await _born_digital_table(documents, copies, (one, two))


async def _born_digital_table(documents: Path, copies: int, sandboxes: Sequence[WarmSandbox]) -> None:
    print(f"{copies} copies of each file in one document:\n" if copies > 1 else "The files as they are:\n")
    print(
        "| file | pages | bare, ms a page | in one process | of bare | waited for, one reader | of bare | two readers | of bare |"
        "\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    files = (
        *sorted((documents / "pdf").glob("*.pdf")),
        *sorted((ROOT / "samples" / "documents").rglob("*.pdf")),
    )
    ratios: list[tuple[float, float, float]] = []
    for file in files:
        content, pages = _copies(file, copies)
        if parse_bytes(file.read_bytes(), name=file.name, reading=READING).metadata.get("ocr_engine"):
            continue
        bare, ours = _in_turns(partial(_bare_text, content), partial(parse_pdf, content, Reading()))
        waits = await _waited(content, sandboxes)
        ratios.append((ours / bare, waits[1] / waits[0], waits[2] / waits[0]))
        in_ms = [f"{1000 * each / pages:.2f}" for each in (bare, ours, *waits[1:])]
        shares = [f"{each:.2f}" for each in ratios[-1]]
        print(
            f"| {file.name} | {pages} | {in_ms[0]} | {in_ms[1]} | {shares[0]} | {in_ms[2]} | {shares[1]} | {in_ms[3]} | {shares[2]} |"
        )
    medians = [f"{statistics.median(each):.2f}" for each in zip(*ratios, strict=True)]
    print(
        f"\nMedian ratios: in one process {medians[0]}, waited for {medians[1]} with one reader, {medians[2]} with two.\n"
    )


async def _waited(content: bytes, sandboxes: Sequence[WarmSandbox]) -> list[float]:
    """Wall-clock seconds: bare, then by each sandbox; medians of turns."""
    times: list[list[float]] = [[] for _ in range(len(sandboxes) + 1)]
    with tempfile.NamedTemporaryFile(suffix=".pdf") as target:
        target.write(content)
        target.flush()
        for _ in range(RUNS):
            await asyncio.sleep(REST_S)
            began = time.perf_counter()
            _bare_text(content)
            times[0].append(time.perf_counter() - began)
            for spent, sandbox in zip(times[1:], sandboxes, strict=True):
                await asyncio.sleep(REST_S)
                began = time.perf_counter()
                await sandbox.parse(Path(target.name), name="copies.pdf")
                spent.append(time.perf_counter() - began)
    return [statistics.median(each) for each in times]


def _copies(file: Path, count: int) -> tuple[bytes, int]:
    source, target = pdfium.PdfDocument(file), pdfium.PdfDocument.new()
    for _ in range(count):
        target.import_pages(source)
    saved = io.BytesIO()
    target.save(saved)
    return saved.getvalue(), len(target)


def _bare_text(content: bytes) -> None:
    document = pdfium.PdfDocument(content)
    for index in range(len(document)):
        page = document[index]
        text = page.get_textpage()
        text.get_text_bounded()
        text.close()
        page.close()
    document.close()


def _in_turns(bare: Callable[[], object], ours: Callable[[], object]) -> tuple[float, float]:
    """Processor seconds of both, the least of a few turns each."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS):
        for times, work in zip(spent, (bare, ours), strict=True):
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
    return min(spent[0]), min(spent[1])


async def _ocr_times(documents: Path) -> None:
    print("## OCR beside bare tesserocr\n")
    scans = [file for file in sorted((documents / "scan").glob("*.pdf")) for _ in range(2)]
    content = _pdf_of([_drawn(pdfium.PdfDocument(file)[0], 200) for file in scans], 200)
    print(
        f"The development scans, each twice, as one PDF of {len(scans)} pages, at 200 dpi, wall clock, taken in turns:\n"
    )
    bare: list[float] = []
    ours: dict[int, list[float]] = {1: [], 2: []}
    reader = tesserocr.PyTessBaseAPI(path=TESSDATA, lang="eng", psm=tesserocr.PSM.AUTO_OSD)
    with tempfile.NamedTemporaryFile(suffix=".pdf") as target:
        target.write(content)
        target.flush()
        for threads, times in ours.items():
            async with WarmSandbox(ParseLimits(timeout_s=600, threads=threads)) as sandbox:
                await sandbox.parse(documents / "pdf" / "letter.pdf", name="warm.pdf")
                for _ in range(3):
                    began = time.perf_counter()
                    _bare_ocr(reader, content)
                    bare.append(time.perf_counter() - began)
                    began = time.perf_counter()
                    await sandbox.parse(Path(target.name), name="scan.pdf")
                    times.append(time.perf_counter() - began)
    usual = len(scans) / statistics.median(bare)
    print("| | pages a second | of bare |\n| --- | --- | --- |")
    print(f"| tesserocr, `AUTO_OSD`, drawn by pdfium | {usual:.2f} | 1.00 |")
    for threads, times in ours.items():
        rate = len(scans) / statistics.median(times)
        print(f"| ours in the warm sandbox, {threads} at a time | {rate:.2f} | {rate / usual:.2f} |")


def _bare_ocr(reader: tesserocr.PyTessBaseAPI, content: bytes) -> None:
    document = pdfium.PdfDocument(content)
    for page in document:
        reader.SetImage(_drawn(page, 200))
        reader.SetSourceResolution(200)
        reader.GetUTF8Text()
    document.close()


if __name__ == "__main__":
    main()
