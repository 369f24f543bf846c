"""Cuts a passage into statements: the sentences, list items and table rows that can each answer a question alone.

A table row is written out with its header ("Retail price 2026; Brook: £42; Weir: £89"): a small model reads a row far
from its header wrongly, and a number then stands beside the words that say what it is. A statement that gives orders to a
model is none: it is neither shown to one nor quoted, and supports nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from causeway.guard.injection import suspicion

_SUSPICIOUS: Final = 0.85
_ITEM = re.compile(r"^\s*(?:[-*+\u2022]|\(?\d{1,3}[.)]|\[ ?\])\s+")
_HEADING = re.compile(r"^#{1,6}\s+")
_TABLE_RULE = re.compile(r"^\|?\s*:?-{2,}")
_SENTENCE = re.compile(r"(?<=[.!?])[\"'\u201d\u2019)*]{0,3}\s+(?=[\"'\u201c(*]{0,3}[A-Z])")


@dataclass(frozen=True, slots=True)
class Statement:
    """A stretch of a passage.

    Attributes:
        text: What it says; a table row with its header.
        quote: The same as the passage has it.
        above: The heading inside the passage that it stands under; empty when there is none.
    """

    text: str
    quote: str
    above: str

    @property
    def words(self) -> str:
        """All that it says by itself: heading and text."""
        return f"{self.above}: {self.text}" if self.above else self.text


def statements(passage: str) -> tuple[Statement, ...]:
    """The statements of ``passage``, in order."""
    found: list[Statement] = []
    above = ""
    for block in re.split(r"\n\s*\n", passage):
        lines = [line for line in block.split("\n") if line.strip()]
        if lines and _HEADING.match(lines[0]):
            above = _HEADING.sub("", lines.pop(0)).strip()
        if not lines:
            continue
        if len(lines) > 2 and lines[0].lstrip().startswith("|") and _TABLE_RULE.match(lines[1].strip()):
            found += _rows(lines, above)
        else:
            found += _sentences(lines, above)
    return tuple(one for one in found if suspicion(one.text).score < _SUSPICIOUS)


def _rows(lines: Sequence[str], above: str) -> Iterator[Statement]:
    header = _cells(lines[0])
    for line in lines[2:]:
        cells = _cells(line)
        said = [
            f"{name}: {cell}" if name else cell
            for name, cell in zip([*header, *[""] * len(cells)], cells, strict=False)
            if cell
        ]
        if said:
            yield Statement("; ".join(said), line.strip(), above)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _sentences(lines: Sequence[str], above: str) -> Iterator[Statement]:
    pieces: list[str] = []
    for line in lines:
        if pieces and not _ITEM.match(line):
            pieces[-1] += f" {line.strip()}"
        else:
            pieces.append(line.strip())
    for piece in pieces:
        marker = _ITEM.match(piece)
        for sentence in [piece[marker.end() :]] if marker else _SENTENCE.split(piece):
            if sentence.strip():
                yield Statement(sentence.strip(), sentence.strip(), above)
