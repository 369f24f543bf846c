"""Tesseract as an `OcrEngine`, through tesserocr, which brings the library; the language data are the system's.

Tesseract reads prose well and short cells badly: it joins neighbours, and its language model has nothing to go by. So
lines it is not sure of are cut at their wide gaps, and each piece is read again alone and larger, which halves the
errors on a data sheet for about 6 ms a piece (`docs/adr/0017-ocr.md`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from causeway import seams
from causeway.knowledge.ingest.ocr_engine import ReadWord, confidence_of
from causeway.knowledge.ingest.ocr_picture import Picture
from causeway.knowledge.ingest.pdf_shapes import Box
from causeway.knowledge.ingest.tesseract_languages import installed

_SURE_OF_SCRIPT = 2.0
_SURE = 75.0
_FAIR = 55.0
_CLOSER_DPI = 300.0
_GAP = 0.7
_MOST_PIECES = 400
_INK = 170


@cache
def engine(languages: tuple[str, ...]) -> TesseractEngine:
    """Tesseract for these languages, which are `installed`."""
    there = installed()
    if there is None or there.missing(languages):
        raise AssertionError(languages)
    return TesseractEngine(seams.library("tesserocr"), there.folder, "+".join(languages))


def script_on(image: Image.Image, dpi: float) -> str:
    """The script that the text on a picture is written in, whichever way it lies; empty when that is not sure."""
    there = installed()
    if there is None or not there.has_scripts:
        return ""
    found = engine(there.languages[:1]).looked_at(Picture(image.convert("L"), dpi))
    return str(found["script_name"]) if found and found["script_conf"] >= _SURE_OF_SCRIPT else ""


class TesseractEngine:
    """Reads with Tesseract. Its readers serve one thread at a time and take 0.1 s to make, so they are kept."""

    def __init__(self, tesserocr: Any, folder: str, languages: str) -> None:
        self._tesserocr = tesserocr
        self._folder = folder
        self._languages = languages
        self._idle: dict[str, list[Any]] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Tesseract's version and languages."""
        return f"tesseract {str(self._tesserocr.tesseract_version()).split()[1]} ({self._languages})"

    def prepare(self) -> None:
        """Make the readers of one page and of pieces of it."""
        with self._reader("page"), self._reader("piece"):
            pass

    def read(self, picture: Picture, *, timeout_s: float) -> list[ReadWord]:
        """The words of the picture; a page that takes longer than ``timeout_s`` is given up, with none."""
        with self._reader("page") as api:
            api.SetImage(picture.image)
            api.SetSourceResolution(round(picture.dpi))
            if not api.Recognize(round(timeout_s * 1000)):
                return []
            words = list(self._words(api))
        if confidence_of(words) < _FAIR:
            return words  # it lies the wrong way round, or is no text: nothing gets better from nearby
        with self._reader("piece") as api:
            return self._closer(api, picture, words)

    def look_again(self, picture: Picture, boxes: Sequence[Box]) -> list[ReadWord]:
        """The words in cells that were passed over: layout analysis drops whole rows of dense tables."""
        words: list[ReadWord] = []
        with self._reader("cell") as api:
            for number, box in enumerate(boxes[:_MOST_PIECES]):
                words += self._piece(api, picture, box, -number - 1)
        return [word for word in words if word.confidence >= _FAIR]

    def turns(self, picture: Picture) -> Sequence[int]:
        """What Tesseract's orientation detection says, and when it is not sure the other ways too."""
        if not Path(self._folder, "osd.traineddata").is_file():
            return (2, 1, 3)
        found = self.looked_at(picture)
        if not found:
            return ()  # hardly any text
        # It says how far the page is turned; what is wanted is the way back, and Pillow's names mirror it.
        first = (4 - found["orient_deg"] // 90) % 4
        return [first, *(turn for turn in (2, 1, 3) if turn != first)] if first else (2, 1, 3)

    def looked_at(self, picture: Picture) -> Mapping[str, Any] | None:
        """What Tesseract's detection of orientation and script says; None when there is hardly any text."""
        with self._reader("turn") as api:
            api.SetImage(picture.image)
            api.SetSourceResolution(round(picture.dpi))
            found: Mapping[str, Any] | None = api.DetectOrientationScript()
        return found

    @contextmanager
    def _reader(self, role: str) -> Iterator[Any]:
        with self._lock:
            idle = self._idle.setdefault(role, [])
            api = idle.pop() if idle else None
        if api is None:
            modes = self._tesserocr.PSM
            mode = {
                "page": modes.AUTO,
                "piece": modes.SINGLE_LINE,
                "cell": modes.SINGLE_BLOCK,
                "turn": modes.OSD_ONLY,
            }[role]
            language = "osd" if role == "turn" else self._languages
            api = self._tesserocr.PyTessBaseAPI(path=self._folder, lang=language, psm=mode)
        try:
            yield api
        finally:
            api.Clear()
            with self._lock:
                idle.append(api)

    def _words(self, api: Any) -> Iterator[ReadWord]:
        level = self._tesserocr.RIL
        found = api.GetIterator()
        line = -1
        if found is None:
            return
        for word in self._tesserocr.iterate_level(found, level.WORD):
            if word.Empty(level.WORD):
                continue
            if word.IsAtBeginningOf(level.TEXTLINE):
                line += 1
            text = word.GetUTF8Text(level.WORD).strip()
            box = word.BoundingBox(level.WORD)
            if not text or box is None:
                continue
            base = word.Baseline(level.WORD)
            baseline = (base[0][1] + base[1][1]) / 2 if base else box[3]
            size = word.RowAttributes()["row_height"] or box[3] - box[1]
            yield ReadWord(text, Box(*box), baseline, size, line, word.Confidence(level.WORD))

    # --- a second look -------------------------------------------------------------------------------

    def _closer(self, api: Any, picture: Picture, words: list[ReadWord]) -> list[ReadWord]:
        """The words, with the lines that are not sure read again piece by piece."""
        ink = np.asarray(picture.image) < _INK
        seen: list[ReadWord] = []
        pieces = 0
        for _, group in groupby(words, key=lambda word: word.line):
            line = list(group)
            if pieces < _MOST_PIECES and min(word.confidence for word in line) < _SURE:
                spans = list(_pieces(ink, line))
                pieces += len(spans)
                line = self._again(api, picture, line, spans)
            seen += (_unified(word, ink) for word in line)
        return seen

    def _again(
        self, api: Any, picture: Picture, line: list[ReadWord], spans: Sequence[Box]
    ) -> list[ReadWord]:
        again: list[ReadWord] = []
        for span in spans:
            old = [word for word in line if span.x0 - 2 <= (word.box.x0 + word.box.x1) / 2 <= span.x1 + 2]
            new = [
                replace(word, baseline=line[0].baseline, size=line[0].size, line=line[0].line)
                for word in self._piece(api, picture, span, line[0].line)
            ]
            again += (
                new if confidence_of(new) > confidence_of(old) - (25 if _is_run_on(old, span) else 0) else old
            )
        return again

    def _piece(self, api: Any, picture: Picture, span: Box, line: int) -> list[ReadWord]:
        """What stands in ``span``, read alone and larger; every word said to be of ``line``."""
        scale = max(1.0, _CLOSER_DPI / picture.dpi)
        pad = round(0.04 * picture.dpi)
        left, top = round(span.x0) - pad, round(span.y0) - pad // 2
        crop = picture.image.crop((left, top, round(span.x1) + pad + 1, round(span.y1) + pad // 2 + 1))
        size = round(crop.width * scale), round(crop.height * scale)
        api.SetImage(crop.resize(size, Image.Resampling.LANCZOS))
        api.SetSourceResolution(round(picture.dpi * scale))
        if not api.Recognize(2000):
            return []
        words = list(self._words(api))
        return [
            ReadWord(
                word.text,
                Box(
                    left + word.box.x0 / scale,
                    top + word.box.y0 / scale,
                    left + word.box.x1 / scale,
                    top + word.box.y1 / scale,
                ),
                top + word.baseline / scale,
                word.size / scale,
                line,
                word.confidence,
            )
            for word in words
        ]


def _pieces(ink: NDArray[np.bool_], line: Sequence[ReadWord]) -> Iterator[Box]:
    """The stretches of a line between its wide gaps."""
    x0, x1 = int(min(word.box.x0 for word in line)), int(max(word.box.x1 for word in line))
    y0, y1 = int(min(word.box.y0 for word in line)), int(max(word.box.y1 for word in line))
    size = line[0].size
    if y1 - y0 > 1.6 * size:  # neighbours above or below were taken in
        y0, y1 = int(line[0].baseline - 0.85 * size), int(line[0].baseline + 0.3 * size)
    columns = np.flatnonzero(ink[max(y0, 0) : y1, x0:x1].any(axis=0))
    if not len(columns):
        return
    cuts = np.flatnonzero(np.diff(columns) > _GAP * size)
    for start, end in zip([0, *(cuts + 1)], [*cuts, len(columns) - 1], strict=True):
        yield Box(x0 + int(columns[start]), y0, x0 + int(columns[end]), y1)


def _is_run_on(old: Sequence[ReadWord], span: Box) -> bool:
    """Whether what was read reaches well beyond the piece it was read from: cells that were joined."""
    return (
        not old or max(word.box.x1 for word in old) > span.x1 + 8 or min(w.box.x0 for w in old) < span.x0 - 8
    )


def _unified(word: ReadWord, ink: NDArray[np.bool_]) -> ReadWord:
    """One letter that was read as two, "Ww" or "Cc", as the letter it is."""
    text = word.text
    if len(text) != 2 or text[0].lower() != text[1] or text[0] == text[1]:
        return word
    box = word.box
    columns = ink[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1) + 1].any(axis=0)
    inside = np.flatnonzero(columns)
    if len(inside) and np.diff(inside).max(initial=1) > 1:
        return word
    height = box.height / max(word.size, 1.0)
    return ReadWord(
        text[0] if height > 0.6 else text[1], box, word.baseline, word.size, word.line, word.confidence
    )
