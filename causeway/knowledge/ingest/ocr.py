"""Reads pages that are pictures: which engine does it, and how a picture becomes a `Page` like any other.

Engine one is Tesseract, where its language data are installed; engine two is RapidOCR, whose models come in its wheel. What
each is worth was measured (`bench/results/parsing.md`, `docs/adr/0017-ocr.md`). The words keep their places, so that
columns, tables and headings are found by the same geometry as in a PDF with text.

Most pages stand upright, and asking Tesseract costs a third of the reading: how the lines look says which way to try first,
and another is tried only when what was read looks like no language.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.ingest import ocr_rapid, ocr_tesseract, tesseract_languages
from causeway.knowledge.ingest.ocr_engine import OcrEngine, ReadWord, confidence_of
from causeway.knowledge.ingest.ocr_languages import AUTO, LATIN, is_read_by_rapid, of_script, scripts_of
from causeway.knowledge.ingest.ocr_picture import Picture, evened, rulings_of, straightened, turn_wanted
from causeway.knowledge.ingest.pdf_shapes import Box, Page, Ruling, Turn, Word
from causeway.knowledge.ingest.pdf_tables import bare_cells

DPI = 200
"""Tesseract is no better at 300, and slower; weak lines are read again at more."""

MAX_PIXELS = 100_000_000
"""Pictures of more are refused before they are unpacked: 196 million took 1.1 GB."""

_MOST_READ_PIXELS = 12_000_000
_LIKELY = 70.0
_SIDEWAYS = 30.0
_MANY_WORDS = 20
_DOUBTFUL = 20.0
_DARK = 128
_LEAST_INK, _MOST_INK = 0.004, 0.5
_BOLD = 1.24
_SAME_SIZE = (0.84, 1.12)


def choose_engine(languages: str, first: tuple[Image.Image, float] | None = None) -> OcrEngine:
    """The best engine for these languages: Tesseract where it has their data, else RapidOCR.

    Args:
        languages: Tesseract's names joined by ``+``, such as ``eng+deu``; or ``auto``.
        first: A document's first picture and its dots an inch, for ``auto`` to look at; Latin script without one.

    Raises:
        UnreadableDocumentError: There are no data for a script that RapidOCR does not know.
    """
    there = tesseract_languages.installed()
    if languages != AUTO:
        wanted = tuple(dict.fromkeys(languages.split("+")))
        missing = list(wanted) if there is None else there.missing(wanted)
        return _rapid(missing) if missing else ocr_tesseract.engine(wanted)
    if there is None:
        return ocr_rapid.engine("no Tesseract data")
    script = LATIN
    if first is not None and scripts_of(there.languages) != {LATIN}:
        script = ocr_tesseract.script_on(*first) or LATIN
    found = of_script(script, there.languages)
    return (
        ocr_tesseract.engine(found) if found else ocr_rapid.engine(f"no Tesseract data for {script} script")
    )


def _rapid(missing: Sequence[str]) -> OcrEngine:
    if not is_read_by_rapid(missing):
        package = missing[0].replace("_", "-")
        raise UnreadableDocumentError(
            f"reading pictures in '{missing[0]}' needs Tesseract's data for it; install the package"
            f" tesseract-ocr-{package}, or set knowledge.ocr_languages to languages that are installed"
        )
    return ocr_rapid.engine(f"no Tesseract data for {', '.join(missing)}")


def read_picture(
    image: Image.Image, engine: OcrEngine, *, number: int, dpi: float, timeout_s: float, turn: int = 0
) -> tuple[Page, float]:
    """What stands on the picture of page ``number``, in points of the page turned upright, and how sure that is.

    ``turn`` is the way to try first, in quarters clockwise: pages of one scan mostly lie alike.
    """
    return read_prepared(prepared(image, dpi=dpi, turn=turn), engine, number=number, timeout_s=timeout_s)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture that can be read.

    Attributes:
        picture: In even light, as the page lies.
        straight: The same turned by ``turn`` quarters clockwise, and straightened.
        given: The turn that was to be tried, had the lines not looked as if another were right.
    """

    picture: Picture
    straight: Picture
    turn: int
    given: int


def prepared(image: Image.Image, *, dpi: float, turn: int = 0) -> Prepared:
    """The picture made fit to be read, which takes a sixth of the time of reading it and may be done while another is read."""
    picture = Picture(evened(image.convert("L")), dpi)
    given, straight = turn, _straight(picture, turn)
    wanted = turn_wanted(straight.image)
    if wanted == 1:
        turn = (turn + 1) % 4
        straight = _straight(picture, turn)
        wanted = turn_wanted(straight.image)
    if wanted == 2:
        turn = (turn + 2) % 4
        straight = replace(straight, image=_turned(straight.image, 2))
    return Prepared(picture, straight, turn, given)


def read_prepared(ready: Prepared, engine: OcrEngine, *, number: int, timeout_s: float) -> tuple[Page, float]:
    """As `read_picture`."""
    picture = ready.picture
    best = _Reading.of(ready.straight, ready.turn, engine, timeout_s)
    if best.confidence < _LIKELY:
        tried = {ready.turn}
        for other in chain((ready.given,), _other_turns(best, picture, engine)):
            if other not in tried:
                tried.add(other)
                reading = _Reading.of(_straight(picture, other), other, engine, timeout_s)
                best = reading if reading.confidence > best.confidence + 5 else best
                if best.confidence >= _LIKELY:
                    break
    page = _page(best.picture, best.words, number, Turn(best.turn, best.picture.skew_degrees))
    missed = _with_ink(best.picture, bare_cells(page))
    if missed:
        found = engine.look_again(best.picture, missed)
        page = _page(best.picture, [*best.words, *found], number, page.turn) if found else page
    return page, best.confidence


def _other_turns(first: _Reading, picture: Picture, engine: OcrEngine) -> Iterator[int]:
    """The other ways a page may lie, likeliest first: one whose words lie level is upside down, which needs no asking."""
    if len(first.words) >= _MANY_WORDS and not first.is_sideways:
        yield (first.turn + 2) % 4
    yield from engine.turns(picture)


def _with_ink(picture: Picture, cells: Sequence[Box]) -> list[Box]:
    """Those of the cells, in points, that have something on them; in pixels, without their borders."""
    light = np.asarray(picture.image)
    border = 3 / picture.points
    inked: list[Box] = []
    for cell in cells:
        x0, y0, x1, y1 = (side / picture.points for side in cell)
        box = Box(x0 + border, y0 + border, x1 - border, y1 - border)
        part = light[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
        if part.size and _LEAST_INK < float((part < _DARK).mean()) < _MOST_INK:
            inked.append(box)
    return inked


@dataclass(frozen=True, slots=True)
class _Reading:
    """A page as it reads when it is turned so."""

    picture: Picture
    words: Sequence[ReadWord]
    turn: int
    confidence: float
    is_sideways: bool

    @classmethod
    def of(cls, straight: Picture, turn: int, engine: OcrEngine, timeout_s: float) -> _Reading:
        words = engine.read(straight, timeout_s=timeout_s)
        confidence = confidence_of(words)
        # Tesseract reads lines that run up or down the page, too, and is sure of them; nothing else can use them.
        is_sideways = _is_sideways(words)
        return cls(
            straight, words, turn, min(confidence, _SIDEWAYS) if is_sideways else confidence, is_sideways
        )


def _straight(picture: Picture, turn: int) -> Picture:
    return straightened(replace(picture, image=_turned(picture.image, turn)))


def _is_sideways(words: Sequence[ReadWord]) -> bool:
    """Whether most words stand higher than they are wide."""
    long = [word.box for word in words if len(word.text) >= 4]
    return 2 * sum(box.height > box.width for box in long) > len(long)


def fitted(image: Image.Image, dpi: float) -> tuple[Image.Image, float]:
    """The picture at about ``DPI``, within what is read at once; and its resolution then."""
    scale = min(DPI / dpi, math.sqrt(_MOST_READ_PIXELS / (image.width * image.height)))
    if 0.85 < scale < 1.15:
        return image, dpi
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    kind = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    return image.resize(size, kind), dpi * scale


def page_dpi(width: float, height: float) -> float:
    """The resolution to draw a page of so many points at."""
    return min(DPI, 72 * math.sqrt(_MOST_READ_PIXELS / max(width * height, 1.0)))


def _turned(image: Image.Image, quarters: int) -> Image.Image:
    way = {1: Image.Transpose.ROTATE_270, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_90}
    return image.transpose(way[quarters]) if quarters else image


# --- words onto a page -------------------------------------------------------------------------------


def _page(picture: Picture, words: Sequence[ReadWord], number: int, turn: Turn) -> Page:
    points = picture.points
    rulings = rulings_of(picture)
    light = np.asarray(picture.image)
    kept = [word for word in _with_bullets(words, light) if _is_word(word, rulings, points)]
    bold = _bold_lines(light, kept)
    sizes = _sizes(kept, bold)
    return Page(
        number,
        picture.image.width * points,
        picture.image.height * points,
        tuple(_placed(word, sizes[word.line] * points, points, word.line in bold) for word in kept),
        rulings,
        is_picture=True,
        is_ocr=True,
        turn=turn,
    )


def _sizes(words: Sequence[ReadWord], bold: frozenset[int]) -> dict[int, float]:
    """Each line's size, pixels: a scan's vary by a tenth where print has one, so those that are about the same are made so."""
    found: dict[int, list[float]] = {}
    for word in words:
        found.setdefault(word.line, []).extend([word.size] * len(word.text))
    sizes = {line: median(each) for line, each in found.items()}
    usual = median([size for line in found if line not in bold for size in found[line]] or [1.0])
    larger: list[float] = []
    low, high = _SAME_SIZE
    for line, size in sorted(sizes.items(), key=lambda item: -item[1]):
        if low * usual < size < (1.06 if line in bold else high) * usual:
            sizes[line] = usual
        elif larger and size > 0.93 * larger[-1]:
            sizes[line] = larger[-1]
        else:
            larger.append(size)
    return sizes


def _placed(word: ReadWord, size: float, points: float, is_bold: bool) -> Word:
    baseline = word.baseline * points
    box = Box(word.box.x0 * points, baseline - 0.8 * size, word.box.x1 * points, baseline + 0.2 * size)
    return Word(word.text, box, baseline, size, is_bold, word.line)


def _is_word(word: ReadWord, rulings: Sequence[Ruling], points: float) -> bool:
    """Whether it is more than a line or a speck that was taken for a letter."""
    if any(map(str.isalnum, word.text)) or word.text == "\u2022":
        return word.confidence >= _DOUBTFUL or len(word.text) > 1 or word.text in ("a", "A", "I")
    if set(word.text) <= set("|[](){}!_-\u2014\u2013~=.'\u2018\u2019\u00a6") and rulings:
        x, y = (word.box.x0 + word.box.x1) / 2 * points, (word.box.y0 + word.box.y1) / 2 * points
        for ruling in rulings:
            box = ruling.box
            if box.x0 - 4 <= x <= box.x1 + 4 and box.y0 - 4 <= y <= box.y1 + 4:
                return False
    return word.confidence >= 2 * _DOUBTFUL and word.text not in ("|", "_", "__", "~")


def _with_bullets(words: Sequence[ReadWord], light: NDArray[np.uint8]) -> Iterator[ReadWord]:
    """The words, with the bullets that begin lines and were taken for a letter: small, solid and as wide as high."""
    line = -1
    for word in words:
        begins, line = word.line != line, word.line
        if begins and len(word.text) == 1 and not word.text.isdigit():
            box = word.box
            ink = light[max(0, int(box.y0)) : int(box.y1) + 1, max(0, int(box.x0)) : int(box.x1) + 1] < _DARK
            height, width = int(ink.any(axis=1).sum()), int(ink.any(axis=0).sum())
            is_small = 0.12 * word.size < min(height, width) and max(height, width) < 0.48 * word.size
            if (
                is_small
                and max(height, width) < 1.4 * min(height, width)
                and ink.sum() > 0.62 * height * width
            ):
                yield replace(word, text="\u2022", confidence=100.0)
                continue
        yield word


def _bold_lines(light: NDArray[np.uint8], words: Sequence[ReadWord]) -> frozenset[int]:
    """The lines whose strokes are much thicker than the page's, for their size."""
    lines: dict[int, list[tuple[float, float]]] = {}
    for word in words:
        if len(word.text) >= 2 and word.size > 0:
            stroke = _stroke(light, word.box)
            lines.setdefault(word.line, []).append((stroke / word.size, len(word.text)))
    if len(lines) < 4:
        return frozenset()
    thickness = {line: fmean(value for value, _ in found) for line, found in lines.items()}
    letters = sorted((thickness[line], sum(n for _, n in found)) for line, found in lines.items())
    usual = median([value for value, count in letters for _ in range(int(count))])
    return frozenset(line for line, value in thickness.items() if value > _BOLD * usual)


def _stroke(light: NDArray[np.uint8], box: Box) -> float:
    """Mean length of the level runs of ink in a box, pixels; grey ink counts like black."""
    part = light[max(0, int(box.y0)) : int(box.y1) + 1, max(0, int(box.x0)) : int(box.x1) + 1]
    if part.shape[0] < 2 or part.shape[1] < 2:
        return 0.0
    darkest = round(0.03 * (part.size - 1))
    ink = part < (int(np.partition(part, darkest, axis=None)[darkest]) + 255) / 2
    begins = int((ink[:, 1:] & ~ink[:, :-1]).sum()) + int(ink[:, 0].sum())
    return float(ink.sum()) / max(begins, 1)
